"""The JSON Schemas of schedules, for the documentation only."""

from __future__ import annotations

from typing import Any

from fabric_jobs.gateway.shapes import (
    MAYBE_MILLISECONDS,
    MILLISECONDS,
    SUCCESS,
    TEXT,
    YES_OR_NO,
    good,
    listed,
    record,
    ref,
    said,
)
from fabric_jobs.schedules.schedule import CATCHUPS, OVERLAPS

NAMES = {"type": "array", "items": TEXT}
MOMENT = {
    "anyOf": [
        {"type": "integer", "minimum": 0, "maximum": 253_402_300_799_000},
        {"type": "string", "format": "date-time", "pattern": "^(19[7-9][0-9]|[2-9][0-9]{3})-"},
    ]
}
FIRES = said("boolean", "Whether this gateway fires schedules: only `serve` does.")
OCCURRENCE = record(
    {
        "at": said("integer", "The time it is for, in milliseconds since 1970."),
        "outcome": {"enum": ["started", "skipped", "missed", "queued"]},
        "reason": said("string", "Why it was not started."),
        "origin": {"enum": ["time", "trigger", "backfill"], "description": "Who asked for it."},
        "activationId": said(["string", "null"], "Of one that was started."),
        "decidedAt": MILLISECONDS,
    }
)
STORED = record(
    {
        "name": TEXT,
        "cron": TEXT,
        "timezone": TEXT,
        "overlap": {"enum": [*OVERLAPS]},
        "catchup": {"enum": [*CATCHUPS]},
        "catchup_seconds": {"type": "number"},
        "jitter_seconds": {"type": "number"},
        "properties": {"type": "object"},
        "paused": YES_OR_NO,
        "note": said("string", "Why it is paused."),
        "nextAt": said(
            ["integer", "null"], "When its next run starts, in milliseconds since 1970; null while it is paused."
        ),
        "last": {"anyOf": [{"type": "null"}, ref("Occurrence")], "description": "What became of its newest time."},
        "running": {**NAMES, "description": "Its activations that have not ended."},
        "username": said("string", "Who saved it."),
        "createdAt": MILLISECONDS,
        "updatedAt": MILLISECONDS,
    },
    agent=TEXT,
    service=TEXT,
    skill=TEXT,
    input=TEXT,
    executor=TEXT,
    delaySeconds=said("number", "By how much its runs start late, because of `jitter_seconds`."),
    payload={"description": "The payload of its runs."},
)
SCHEDULES: dict[str, Any] = {
    "Occurrence": OCCURRENCE,
    "Schedule": STORED,
    "Schedules": listed("schedules", "Schedule", fires=FIRES),
    "OneSchedule": good(schedule=ref("Schedule"), fires=FIRES),
    "Occurrences": listed("occurrences", "Occurrence"),
    "SavedSchedule": good(
        schedule=ref("Schedule"), fires=FIRES, outcome={"enum": ["created", "changed", "unchanged"]}, message=TEXT
    ),
    "ApplySchedules": record(
        {
            "schedules": {
                "type": "array",
                "items": {"type": "object"},
                "description": "As in [schedules.yaml](schedules-yaml.md).",
            }
        },
        prune={"type": "boolean", "description": "Delete the others of the project.", "default": False},
    ),
    "AppliedSchedules": good(created=NAMES, changed=NAMES, unchanged=NAMES, deleted=NAMES, others=NAMES, fires=FIRES),
    "NewSchedule": {
        "description": "A schedule, with the keys of [schedules.yaml](schedules-yaml.md).",
        "type": "object",
    },
    "Times": good(
        timezone=TEXT,
        times={
            "type": "array",
            "items": record({"at": MILLISECONDS, "text": said("string", "As the clocks of its zone show it.")}),
        },
    ),
    "Pause": record(
        {}, note={"type": ["string", "null"], "maxLength": 1000, "description": "Why; shown while it is paused."}
    ),
    "Trigger": record(
        {},
        at={
            **MOMENT,
            "description": "The time that the run is for; now by default. Two requests for one time start one run.",
        },
    ),
    "Triggered": good(occurrence=ref("Occurrence"), message=TEXT),
    "Backfill": record(
        {"from": {**MOMENT, "description": "From this time on."}},
        to={**MOMENT, "description": "Up to this time; now by default."},
        dryRun={"type": "boolean", "description": "Start nothing; only list the times.", "default": False},
    ),
    "Backfilled": good(
        times={"type": "array", "items": MILLISECONDS},
        occurrences={"type": "array", "items": ref("Occurrence")},
        nextFrom=MAYBE_MILLISECONDS,
    ),
    "ScheduledTasks": listed("tasks", "ScheduledTask"),
    "ScheduledTask": record(
        {
            "name": TEXT,
            "activationId": said(["string", "null"], "Of its newest run."),
            "skillName": TEXT,
            "agentName": TEXT,
            "state": {"enum": ["SCHEDULED", "PAUSED"]},
            "startTime": MAYBE_MILLISECONDS,
            "endTime": {"type": "null"},
            "schedule": said("string", "Its cron expression."),
            "scheduled": SUCCESS,
            "username": TEXT,
        }
    ),
    "OneScheduledTask": good(task=ref("ScheduledTask")),
    "Scheduling": good(scheduleName=TEXT, nextAt=MAYBE_MILLISECONDS, fires=FIRES, message=TEXT),
}

"""The JSON Schemas that operations refer to, for the documentation only."""

from __future__ import annotations

import json
from typing import Any

from fabric_jobs import shipped
from fabric_jobs.gateway.access_schemas import ACCESS
from fabric_jobs.gateway.agent_schemas import AGENTS
from fabric_jobs.gateway.api_schemas import API_SCHEMAS, API_TEXTS
from fabric_jobs.gateway.content_schemas import CONTENT, CONTENT_TEXTS
from fabric_jobs.gateway.document_schemas import DOCUMENTS
from fabric_jobs.gateway.invocation_schemas import INVOCATIONS
from fabric_jobs.gateway.job_schemas import JOB_SCHEMAS, JOB_TEXTS
from fabric_jobs.gateway.pool_schemas import POOLS
from fabric_jobs.gateway.schedule_schemas import SCHEDULES
from fabric_jobs.gateway.secret_schemas import SECRETS
from fabric_jobs.gateway.shapes import (
    COUNT,
    COUNTS,
    MAYBE_MILLISECONDS,
    MILLISECONDS,
    PAYLOAD,
    SUCCESS,
    TASK_STATE,
    TEXT,
    YES_OR_NO,
    record,
    ref,
)
from fabric_jobs.gateway.shapes import count as _count
from fabric_jobs.gateway.shapes import good as _good
from fabric_jobs.gateway.shapes import listed as _listed
from fabric_jobs.gateway.shapes import said as _said
from fabric_jobs.gateway.state_schemas import STATE


def _embedded(kind: str) -> dict[str, Any]:
    """Return the JSON Schema of a definition and its parts, with references within this document."""
    title = kind.capitalize()
    text = shipped.schema_file(kind).read_text(encoding="utf-8").replace("#/$defs/", f"#/components/schemas/{title}.")
    whole = json.loads(text)
    parts = {f"{title}.{name}": part for name, part in whole.pop("$defs").items()}
    whole.pop("$schema")
    return {title: whole, **parts}


NOTE = _said(
    "string",
    "What a program is waiting for before it starts, such as `waiting for its turn, …` or `pulling …`; else empty.",
)
REMARKS = {
    "type": "array",
    "description": "What of its Dockerfile is not carried out here, and what a program that ended well has left running.",
    "items": TEXT,
}
SAVED = record({"name": TEXT, "_version": COUNT, "updatedAt": MILLISECONDS, "createdBy": TEXT, "deployStatus": TEXT})
NEXT = _said(["string", "null"], "The `cursor` of the next page; null when this is the last one.")
LISTS: dict[str, Any] = {
    "Skills": _listed("skills", "Summary"),
    "SkillVersions": _listed("skill", "Summary"),
    "Agents": _listed("agents", "Summary"),
    "AgentVersions": _listed("agent", "Summary"),
    "Activations": _listed("activations", "ActivationSummary", next=NEXT),
    "Events": _listed("events", "Event"),
    "Tasks": _listed("tasks", "Task", next=NEXT),
    "DeadLetters": _listed("deadLetters", "DeadLetter", count=COUNT, next=NEXT),
    "Retrying": _listed("activations", "Retried"),
}
SCHEMAS: dict[str, Any] = {
    **INVOCATIONS,
    "Error": record(
        {"success": {"const": False}, "message": TEXT},
        error={"type": "string", "description": "The class of the error."},
        activationId=_said("string", "The activation that an invocation was compared with."),
        hint={"type": "string", "description": "What to do next."},
        details={
            "type": "array",
            "description": "All problems of a document, as {path, message}; or what uses a thing, as {name, type}.",
            "items": {"type": "object"},
        },
    ),
    "Success": _good(),
    "Done": _good(message=TEXT),
    "Saved": _good(version={"type": "integer", "minimum": 1}, message=TEXT),
    "Cancelled": _good(cancelled=YES_OR_NO, message=TEXT),
    "OneTask": _good(task=ref("Task")),
    "OneDeadLetter": _good(deadLetter=ref("DeadLetter")),
    "Edit": record({"payload": PAYLOAD}),
    "Dropped": _good(dropped=YES_OR_NO, message=TEXT),
    "Record": PAYLOAD,
    **_embedded("skill"),
    **_embedded("agent"),
    **{name: part for name, part in _embedded("api").items() if name != "Api"},  # a file, which is not sent
    "SkillOrApi": {
        "description": "A skill, or a Batch or Task API, which is a skill, too: an entry of an API file below `api`.",
        "anyOf": [
            ref("Skill"),
            {**record({"name": TEXT, "api": ref("Api.api")}), "additionalProperties": False},
        ],
    },
    "SavedSkill": {
        "description": "The skill with `_version`, `updatedAt`, `deployStatus` and `actionStatuses`.",
        **SAVED,
    },
    "SavedAgent": {"description": "The agent with `_version`, `updatedAt` and `deployStatus`.", **SAVED},
    "Summary": record(
        {
            "name": TEXT,
            "title": TEXT,
            "description": TEXT,
            "updatedAt": MILLISECONDS,
            "createdBy": _said("string", "Who saved this version; `local` is the user of the gateway."),
            "_version": COUNT,
            "deployStatus": _said("string", "`DEPLOYED`: saving did that."),
        },
        actionStatuses={"type": "array", "description": "Of a skill.", "items": ref("ActionStatus")},
    ),
    "ActionStatus": record(
        {
            "name": TEXT,
            "state": _said("string", "`READY` for what is started when it is called; the state of a daemon that runs."),
        }
    ),
    "Dependencies": _good(
        type=TEXT, name=TEXT, exists=YES_OR_NO, dependencies={"type": "array", "items": ref("Dependency")}
    ),
    "Dependency": record(
        {"type": TEXT, "name": TEXT, "exists": YES_OR_NO},
        dependencies={"type": "array", "description": "The same of what it needs.", "items": {"type": "object"}},
    ),
    "Progress": record(
        {
            "skill": _said("string", "The `refId` of the skill; its name, if it was invoked by itself."),
            "node": _said("string", "`refId.input`, and `#n` for the other actions of a routing by field."),
            "in": _count("Records that have arrived."),
            "waiting": _count("Records that have arrived and are not finished."),
            "out": _count("Records sent."),
            "failed": _count("Records that became dead letters."),
            "tasks": {"description": "How many tasks are in which state.", **COUNTS},
            "note": NOTE,
            "remarks": REMARKS,
        }
    ),
    "Event": record({"number": COUNT, "kind": TEXT, "at": MILLISECONDS, "activationId": {"type": ["string", "null"]}}),
    "News": record(
        {
            "events": {"type": "array", "items": ref("Event")},
            "progress": {"type": "array", "items": ref("Progress")},
        },
        activation=ref("Activation"),
    ),
    "Task": record(
        {
            "name": TEXT,
            "activationId": {"type": ["string", "null"]},
            "skillName": TEXT,
            "actionName": TEXT,
            "state": TASK_STATE,
            "attempt": COUNT,
            "startTime": MAYBE_MILLISECONDS,
            "endTime": MAYBE_MILLISECONDS,
        },
        agentName=TEXT,
        node=TEXT,
        receives={"enum": ["message", "stream"]},
        exitCode={"type": ["integer", "null"]},
        cause=TEXT,
        sent=COUNT,
        record={"type": ["object", "null"]},
        username=TEXT,
        note=NOTE,
        remarks=REMARKS,
        attempts={"type": "array", "items": ref("Attempt")},
    ),
    "Attempt": record(
        {"attempt": COUNT, "executor": TEXT, "start": MILLISECONDS, "end": MAYBE_MILLISECONDS},
        exitCode={"type": ["integer", "null"]},
        reason=TEXT,
    ),
    "Log": _good(logs=TEXT, truncated=YES_OR_NO),
    "DeadLetter": record(
        {
            "id": {"type": "integer", "minimum": 1},
            "activationId": TEXT,
            "skillName": TEXT,
            "record": {"type": ["object", "null"]},
            "task": {"type": ["string", "null"]},
            "attempts": COUNT,
            "onError": {"enum": ["continue", "complete"]},
            "at": MILLISECONDS,
            "cause": TEXT,
            "error": {"type": "object"},
            "retriedAs": {"type": ["string", "null"], "description": "The activation that tries it again."},
        },
        payload={},
    ),
    "Retry": record(
        {
            "ids": {
                "type": "array",
                "description": "Up to 10,000 numbers of dead letters.",
                "items": {"type": "integer", "minimum": 1},
                "minItems": 1,
                "maxItems": 10_000,
            },
            "requestId": {
                "type": "string",
                "minLength": 8,
                "description": "8 characters or more, new for each request. Two requests with one id start their activations once.",
            },
        }
    ),
    "Retried": record({"activationId": TEXT, "deadLetters": {"type": "array", "items": COUNT}}),
    "Trace": record(
        {
            "success": SUCCESS,
            "activationId": TEXT,
            "direction": {"enum": ["back", "forward"]},
            "records": {"type": "array", "items": ref("Stop")},
        }
    ),
    "Stop": record(
        {
            "channel": COUNT,
            "mapping": TEXT,
            "count": COUNT,
            "offsets": {
                "type": "array",
                "description": "Ranges, [first, next): at most 1,000 of them.",
                "items": {"type": "array", "items": COUNT, "minItems": 2, "maxItems": 2},
            },
            "tasks": {"type": "array", "description": "That made them: at most 10.", "items": TEXT},
        },
        truncated={"const": True},
        payload={"description": "Of one record alone, when it is still kept."},
    ),
    **LISTS,
    **API_SCHEMAS,
    **JOB_SCHEMAS,
    **POOLS,
    **SCHEDULES,
    **CONTENT,
    **ACCESS,
    **STATE,
    **AGENTS,
    **SECRETS,
    **DOCUMENTS,
    "Ready": record({"status": TEXT, "checks": {"type": "object", "additionalProperties": TEXT}}),
    "Info": record(
        {
            "serverTs": MILLISECONDS,
            "version": TEXT,
            "healths": {"type": "array"},
            "deployType": TEXT,
            "endpoints": {"type": "string", "description": "JSON in a text."},
        }
    ),
    "Compatibility": record({"semver": TEXT}),
    "Healthy": record({"status": TEXT}),
    "CodeMetrics": record(
        {
            "metrics": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["kind", "name", "value"],
                    "properties": {
                        "kind": {"enum": ["counter", "gauge", "summary"]},
                        "name": TEXT,
                        "value": {"type": "number", "description": "To add; of a gauge, the new one."},
                        "count": {
                            "type": "integer",
                            "minimum": 1,
                            "description": "How many values `value` is the sum of.",
                        },
                        "tags": {"type": "object", "additionalProperties": TEXT},
                    },
                },
            }
        }
    ),
    "OutputSize": record(
        {
            "size": _count("Bytes of the stream that are stored by now."),
            "end": _said("boolean", "Whether the program is asked to end."),
            "kill": _said("boolean", "Whether the program has to end at once."),
        }
    ),
    "Empty": _said("object", "`{}`"),
    "OpenApi": {"type": "object"},
}
# Bodies that are not JSON: media type and schema.
TEXTS: dict[str, tuple[str, dict[str, Any]]] = {
    "Text": ("text/plain", TEXT),
    "Yaml": ("application/yaml", TEXT),
    **CONTENT_TEXTS,
    **API_TEXTS,
    **JOB_TEXTS,
    "Records": ("application/x-ndjson", _said("string", "NDJSON: a record a line.")),
    "Commit": (
        "application/x-ndjson",
        _said(
            "string",
            "A line of JSON (`sequence`, `sender`, `open`, `acks`, `hand`, `left`, `hold`, `prologue`, `outputs`, `parents`), then "
            "the NDJSON of every output.",
        ),
    ),
    "BatchReport": (
        "application/x-ndjson",
        _said(
            "string",
            "A line of JSON (`ready`, `want`, `held`, `done`, `failed`, `completed`), then the NDJSON that came of the batches "
            "in `done`.",
        ),
    ),
    "LogPage": ("application/octet-stream", _said("string", "A line of JSON, then bytes.")),
    "LogStream": ("text/event-stream", {"description": 'Server-sent events; `data` of each is `{"log": …}`.'}),
    "EventStream": ("text/event-stream", {"description": "Server-sent events; `data` of each is an event."}),
}

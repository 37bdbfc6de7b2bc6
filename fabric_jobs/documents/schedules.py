"""A schedules.yaml → definitions of schedules."""

from __future__ import annotations

import time
from collections.abc import Callable

from fabric_jobs.documents.fields import ANYTHING, ENTRIES, TEXT, Field, Kind, Shape, choice, listed, only, seconds
from fabric_jobs.documents.reader import Reader, distinct, read_all
from fabric_jobs.errors import InvalidInput
from fabric_jobs.names import DEFINED_NAME
from fabric_jobs.schedules.cron import Cron
from fabric_jobs.schedules.schedule import (
    CATCHUPS,
    LONGEST_CATCHUP_SECONDS,
    LONGEST_JITTER_SECONDS,
    OVERLAPS,
    VERBS,
    ScheduleDefinition,
    is_name,
)


def _name(reader: Reader, field: Field) -> str:
    name, inner = reader.text(field.key), reader.inner(field.key)
    if inner is not None and isinstance(inner.node.value, str) and not is_name(name):
        verbs = ", ".join(sorted(VERBS))
        reader.error(
            f"'{name}' is not a valid name of a schedule: it must start with a letter, contain only letters, digits, "
            f"'_', '-', '.' and '/', end with a letter or digit, and not be {verbs}",
            field.key,
        )
    return name


def _cron(reader: Reader, field: Field) -> str:
    expression, inner = reader.text(field.key), reader.inner(field.key)
    if inner is not None and isinstance(inner.node.value, str):  # else its problem is noted already
        _note(reader, field.key, lambda: Cron(expression).check(time.time()))
    return expression


def _zone(reader: Reader, field: Field) -> str:
    zone, inner = reader.text(field.key, field.default), reader.inner(field.key)
    if inner is not None and isinstance(inner.node.value, str):
        _note(reader, field.key, lambda: Cron("@daily", zone).check(time.time()))
    return zone


def _note(reader: Reader, key: str, check: Callable[[], None]) -> None:
    try:
        check()
    except InvalidInput as error:
        reader.error(f"{error.message} {error.hint}".rstrip(), key)


NAME = Kind({"type": "string", "pattern": f"^({DEFINED_NAME.pattern})$"}, "name", _name)
CRON = Kind({"type": "string", "minLength": 1, "maxLength": 200}, "cron expression", _cron)
ZONE = Kind(TEXT.schema, "IANA time zone", _zone)
SCHEDULE = Shape(
    "schedule",
    "A schedule: what to invoke, and when.",
    Field(
        "name",
        NAME,
        "The name of the schedule, unique in the project whatever its case.",
        required=True,
        missing="name the schedule",
    ),
    Field(
        "cron",
        CRON,
        "Minute, hour, day of month, month and day of week, such as `30 2 * * *`; or `@hourly`, `@daily`, `@weekly`, "
        "`@monthly`, `@yearly`.",
        required=True,
        missing="say when, such as '30 2 * * *'",
    ),
    Field(
        "timezone",
        ZONE,
        "The zone whose clocks the expression means, such as `Europe/Berlin`.",
        default=ScheduleDefinition.timezone,
    ),
    Field("agent", TEXT, "The agent to invoke. Either this or `skill`."),
    Field("skill", TEXT, "The skill to invoke. Either this or `agent`."),
    Field("service", TEXT, "The service of the agent.", absent="its only one"),
    Field("input", TEXT, "The input of the skill.", absent="its only one"),
    Field("payload", ANYTHING, "The payload of every run.", absent="null"),
    Field("properties", ENTRIES, "Values of properties by name, as in an invocation."),
    Field(
        "executor",
        choice("local", "docker", "kubernetes"),
        "Where its runs take place.",
        default="",
        absent="the gateway's default",
    ),
    Field(
        "overlap",
        choice(*OVERLAPS),
        "What happens to a time that comes while an earlier run has not ended: it is skipped, it waits (one at most), it runs in "
        "parallel, or it cancels the earlier run.",
        default=ScheduleDefinition.overlap,
    ),
    Field(
        "catchup",
        choice(*CATCHUPS),
        "What happens to times that passed while nothing fired schedules: only the newest runs, none does, or all do (the "
        "newest 100).",
        default=ScheduleDefinition.catchup,
    ),
    Field(
        "catchup_seconds",
        seconds(0, int(LONGEST_CATCHUP_SECONDS)),
        "How old a time may be to be caught up.",
        default=ScheduleDefinition.catchup_seconds,
    ),
    Field(
        "jitter_seconds",
        seconds(0, int(LONGEST_JITTER_SECONDS)),
        "Each run starts late by a share of this that depends only on the name, so that schedules of one time do not start "
        "together.",
        default=ScheduleDefinition.jitter_seconds,
    ),
    make=ScheduleDefinition,
    rules={"anyOf": [only("agent", "skill", "input"), only("skill", "agent", "service")]},
)
SCHEDULES = Shape(
    "",
    "The schedules of a project.",
    Field("schedules", listed(SCHEDULE), "The schedules.", required=True, missing="list the schedules"),
)


def read_schedules(reader: Reader) -> tuple[ScheduleDefinition, ...]:
    """Return the schedules of the file that `reader` is at. If a problem was noted, they must not be used."""
    if not reader.is_mapping(SCHEDULES.keys):
        return ()
    reader.require("schedules", "list the schedules")
    items = reader.items("schedules")
    distinct(items, [item.text("name") for item in items], "schedule")
    return read_all(items, read_schedule)


def read_schedule(reader: Reader) -> ScheduleDefinition | None:
    """Return the schedule that `reader` is at; None if it is not a mapping. If a problem was noted, it must not be used."""
    found: ScheduleDefinition | None = SCHEDULE.read(reader)
    if found is None:
        return None
    if bool(found.agent) == bool(found.skill):
        reader.error("a schedule invokes either an agent or a skill: give one of the keys 'agent' and 'skill'")
    elif found.agent and reader.has("input"):
        reader.at_key("'input' is for a skill; for an agent give 'service'", "input")
    elif found.skill and reader.has("service"):
        reader.at_key("'service' is for an agent; for a skill give 'input'", "service")
    if found.catchup == "all" and found.overlap in ("skip", "queue"):
        reader.warn(
            f"with 'overlap: {found.overlap}' the first run that is caught up skips others; write 'overlap: parallel'",
            "catchup",
        )
    return found

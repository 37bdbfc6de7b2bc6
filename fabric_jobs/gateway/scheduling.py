"""What the routes of schedules share: lookups, checks, answers, and schedules in the place of tasks as Fabric has them.

Whatever knows schedules is imported late: most owners have none, and a command waits for their start.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from fabric_jobs.errors import InvalidInput, NotFound, RecordTooLarge
from fabric_jobs.gateway.answers import milliseconds
from fabric_jobs.gateway.definitions import check_file
from fabric_jobs.gateway.json_response import Json, compact
from fabric_jobs.gateway.operation import Call
from fabric_jobs.gateway.parts import Parts
from fabric_jobs.names import nearest
from fabric_jobs.store import definitions, tasks
from fabric_jobs.store.sql import Sql

if TYPE_CHECKING:
    from fabric_jobs.engine.invoke import Invocation
    from fabric_jobs.engine.schedules import Clock, Firing
    from fabric_jobs.schedules.schedule import Occurrence, Schedule, ScheduleDefinition
    from fabric_jobs.store.schedules import NewSchedule

IDLE = "nothing fires it here: only `fabric-jobs serve` does"


def fires(parts: Parts) -> bool:
    """Tell whether this owner fires schedules."""
    return parts.clock is not None


def firing_of(parts: Parts) -> Firing:
    """Return what starts the runs of schedules, also in an owner that does not fire them."""
    from fabric_jobs.engine.schedules import Firing  # late: most owners have no schedules

    return Firing(parts.store, parts.engine, parts.settings, partial(check_current, parts))


def clock_of(parts: Parts) -> Clock:
    """Return the clock that fires the schedules of an owner; it is not started."""
    from fabric_jobs.engine.schedules import Clock

    return Clock(parts.store, firing_of(parts))


def check_current(parts: Parts, one: Schedule) -> None:
    """Register the current files of the workspace; raise InvalidDefinition if one that a schedule needs is invalid."""
    if parts.registration is not None:
        parts.registration.look()
        check_file(parts, one.kind, one.project_id, one.target)


def found_schedule(call: Call, name: str = "") -> Schedule:
    """Return a schedule by its name, by default that of the path; raise NotFound."""
    from fabric_jobs.store import schedules

    wanted, sql = name or str(call.path_params["name"]), call.parts.store.read
    found = schedules.find(sql, call.project, wanted)
    if found is None:
        known = [one.name for one in schedules.listed(sql, call.project)]
        raise NotFound(f"there is no schedule '{wanted}'.", hint=nearest(wanted, known))
    return found


def new_schedule(
    call: Call, definition: ScheduleDefinition, *, session_id: str = "", correlation_id: str = ""
) -> NewSchedule:
    """Return what a definition says, with the service or input that it means.

    Raises NotFound or InvalidInput for what could not run, RecordTooLarge for its payload.
    """
    from fabric_jobs.store import schedules

    parts, sql = call.parts, call.parts.store.read
    payload = compact(definition.payload)
    limit = parts.settings.record_bytes
    if len(payload) > limit:
        raise RecordTooLarge(
            f"the payload of {len(payload):,} bytes is over the limit of {limit:,} bytes for one record."
        )
    if definition.executor and definition.executor not in parts.executors:
        raise InvalidInput(
            f"there is no executor '{definition.executor}'.", hint=nearest(definition.executor, parts.executors)
        )
    if definition.properties.get("callbackUrl"):
        raise InvalidInput("a schedule has no callback.", hint="Leave 'callbackUrl' out.")
    plans, kind, target = parts.engine.plans, definition.kind, definition.target
    pins = plans.pins(sql, call.project, kind, target)
    entry = definition.entry or _only_entry(sql, call.project, kind, target)
    plans.compile(sql, call.project, pins, entry, definition.properties)
    return schedules.NewSchedule(
        project_id=call.project,
        name=definition.name,
        kind=kind,
        target=target,
        entry=entry,
        cron=" ".join(definition.cron.split()),
        timezone=definition.timezone,
        overlap=definition.overlap,
        catchup=definition.catchup,
        catchup_seconds=float(definition.catchup_seconds),
        jitter_seconds=float(definition.jitter_seconds),
        payload=payload,
        properties=definition.properties,
        executor=definition.executor,
        username=call.caller.username,
        session_id=session_id,
        correlation_id=correlation_id,
    )


def check_body(body: Mapping[str, Any]) -> None:
    """Raise InvalidInput for a body that asks for a schedule: the query does that."""
    for key in ("scheduleCron", "scheduleName"):
        if body.get(key):
            hint = "Ask in the query, as in ?scheduleCron=@daily, or use `fabric-jobs schedules create`."
            raise InvalidInput(f"'{key}' has no effect in the body.", hint=hint)


async def save_invocation(call: Call, wanted: Invocation, expression: str, name: str) -> Response:
    """Save an invocation as a schedule, as Fabric does with `scheduleCron`, and answer.

    Raises InvalidInput for an invalid expression or name, and for keys that mean nothing for a schedule.
    """
    from fabric_jobs.schedules.cron import Cron
    from fabric_jobs.schedules.schedule import ScheduleDefinition, is_name
    from fabric_jobs.store import schedules

    if not expression:
        raise InvalidInput(
            "'scheduleName' has no effect without 'scheduleCron'.", hint="Add scheduleCron=@daily, or leave both out."
        )
    keyed = wanted.activation_id or wanted.key or call.object.get("ifExists")
    if call.query_params.get("sync", "false").lower() != "false" or wanted.cold or keyed:
        given = "'sync', 'cold', 'activationId', 'key' and 'ifExists'"
        raise InvalidInput(f"{given} have no effect with 'scheduleCron'.", hint="Leave them out.")
    name = name or wanted.name
    if not is_name(name):
        raise InvalidInput(
            f"'{name}' is not a valid name of a schedule.", hint="Give a name such as 'nightly' with scheduleName."
        )
    Cron(expression).check(time.time())
    is_agent = wanted.kind == "agent"
    definition = ScheduleDefinition(
        name=name,
        cron=expression,
        payload=call.object["payload"],
        properties=dict(wanted.properties),
        executor=wanted.executor if wanted.is_placed else "",
        agent=wanted.name if is_agent else "",
        skill="" if is_agent else wanted.name,
        service=wanted.entry if is_agent else "",
        input="" if is_agent else wanted.entry,
    )
    new = new_schedule(call, definition, session_id=wanted.session_id, correlation_id=wanted.correlation_id)
    await asyncio.wrap_future(call.parts.store.write(lambda tx: schedules.save(tx, new, time.time())))
    wake(call)
    saved = found_schedule(call, name)
    message = f"schedule '{name}' is saved." if fires(call.parts) else f"schedule '{name}' is saved, but {IDLE}."
    answer = {
        "scheduleName": name,
        "nextAt": milliseconds(upcoming(saved, time.time())),
        "fires": fires(call.parts),
        "message": message,
    }
    return Json({"success": True, **answer})


def wake(call: Call) -> None:
    """Let the clock of this owner, if it has one, look at the schedules."""
    if call.parts.clock is not None:
        call.parts.clock.wake()


def _only_entry(sql: Sql, project_id: str, kind: str, target: str) -> str:
    """Return the only service of an agent, or input of a skill; raise InvalidInput if there are several."""
    saved = definitions.find(sql, project_id, kind, target)
    assert saved is not None, "its pins were found"
    names = [str(port["name"]) for port in saved.body.get("inputs") or [{"name": "input"}]]
    if len(names) == 1:
        return names[0]
    word = "service" if kind == "agent" else "input"
    raise InvalidInput(
        f"{kind} '{target}' has {len(names)} {word}s.", hint=f"Choose one with '{word}': {', '.join(names)}."
    )


def schedule_json(sql: Sql, one: Schedule) -> dict[str, Any]:
    """Return a schedule as the API shows it, without its payload."""
    from fabric_jobs.store import schedules

    last = schedules.occurrences(sql, one.schedule_id, limit=1)
    entry = "service" if one.kind == "agent" else "input"
    return {
        "name": one.name,
        "cron": one.cron,
        "timezone": one.timezone,
        one.kind: one.target,
        entry: one.entry,
        "overlap": one.overlap,
        "catchup": one.catchup,
        "catchup_seconds": one.catchup_seconds,
        "jitter_seconds": one.jitter_seconds,
        "properties": one.properties,
        **({"executor": one.executor} if one.executor else {}),
        "paused": one.paused,
        "note": one.note,
        "nextAt": milliseconds(upcoming(one, time.time())),
        "last": occurrence_json(last[0]) if last else None,
        "running": list(schedules.running(sql, one.schedule_id)),
        "username": one.username,
        "createdAt": milliseconds(one.created_at),
        "updatedAt": milliseconds(one.updated_at),
    }


def upcoming(one: Schedule, now: float) -> float | None:
    """Return when the next run of a schedule starts: also where nothing has fired its past times; None if there is none."""
    if one.due_at is None or one.due_at > now:
        return one.due_at
    with suppress(InvalidInput):  # its time zone is not known any more
        at = one.times.after(now - one.delay)
        return None if at is None else at + one.delay
    return None


def occurrence_json(item: Occurrence) -> dict[str, Any]:
    """Return an occurrence as the API shows it."""
    return {
        "at": milliseconds(item.at),
        "outcome": item.outcome,
        "reason": item.reason,
        "origin": item.origin,
        "activationId": item.activation_id,
        "decidedAt": milliseconds(item.decided_at),
    }


def of_task(call: Call) -> Schedule | None:
    """Return the schedule that the path calls a task; None if there is none, or a task of that name."""
    from fabric_jobs.store import schedules

    name, sql = str(call.path_params["task"]), call.parts.store.read
    if tasks.by_name(sql, call.project, name) is not None:
        return None
    return schedules.find(sql, call.project, name)


def scheduled_tasks(call: Call, wanted: Mapping[str, str | None]) -> list[dict[str, Any]]:
    """Return the schedules of a project as Fabric lists them: as tasks. `wanted` are texts that they must have, by key."""
    from fabric_jobs.store import schedules

    sql = call.parts.store.read
    found = [task_json(sql, one) for one in schedules.listed(sql, call.project)]
    return [row for row in found if all(value in (None, row.get(key)) for key, value in wanted.items())]


def task_json(sql: Sql, one: Schedule) -> dict[str, Any]:
    """Return a schedule as the scheduled task that Fabric shows."""
    from fabric_jobs.store import schedules

    newest = schedules.occurrences(sql, one.schedule_id, limit=20)
    last = next((item for item in newest if item.activation_id), None)
    return {
        "name": one.name,
        "activationId": last.activation_id if last else None,
        "skillName": one.target if one.kind == "skill" else "",
        "agentName": one.target if one.kind == "agent" else "",
        "state": "PAUSED" if one.paused else "SCHEDULED",
        "startTime": milliseconds(last.decided_at) if last else None,
        "endTime": None,
        "schedule": one.cron,
        "scheduled": True,
        "username": one.username,
    }

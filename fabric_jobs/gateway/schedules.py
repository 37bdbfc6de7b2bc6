"""Schedules: save, apply, list, show, pause, resume, trigger, backfill, delete."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING

import orjson
from starlette.responses import Response

from fabric_jobs.errors import InvalidInput
from fabric_jobs.gateway.definitions import registered
from fabric_jobs.gateway.json_response import Json
from fabric_jobs.gateway.operation import Call, Operation
from fabric_jobs.gateway.parameters import LIMIT, SKIP, P, whole
from fabric_jobs.gateway.parameters import time as time_of
from fabric_jobs.gateway.scheduling import (
    fires,
    firing_of,
    found_schedule,
    new_schedule,
    occurrence_json,
    schedule_json,
    wake,
)

if TYPE_CHECKING:
    from fabric_jobs.schedules.schedule import Schedule

COUNT = whole("count", "How many.", 10, low=1, high=1000)
TOGETHER = 100  # runs that one backfill starts
LONGEST_NOTE = 1000
DAY_SECONDS = 86_400
LAST_MOMENT = 253_402_300_799.0  # the end of the year 9999


async def save_schedule(call: Call) -> Response:
    """Save a schedule: create it, or replace the one of this name.

    No time that has passed runs because of it. 409 if the names differ only in case.
    """
    from fabric_jobs.documents import schedule_from_json
    from fabric_jobs.store import schedules

    await registered(call)
    definition = await asyncio.to_thread(schedule_from_json, call.object)
    new = new_schedule(call, definition)
    outcome = await asyncio.wrap_future(call.parts.store.write(lambda tx: schedules.save(tx, new, time.time())))
    wake(call)
    saved = found_schedule(call, new.name)
    message = f"schedule '{saved.name}' is {'saved' if outcome != 'unchanged' else 'unchanged'}."
    shown = schedule_json(call.parts.store.read, saved)
    return Json(
        {"success": True, "outcome": outcome, "schedule": shown, "fires": fires(call.parts), "message": message}
    )


async def apply_schedules(call: Call) -> Response:
    """Save several schedules, all or none; `prune` deletes the others of the project.

    `others` are those that the request does not name.
    """
    from fabric_jobs.documents import schedules_from_json
    from fabric_jobs.store import schedules

    await registered(call)
    prune = call.object.get("prune", False)
    if not isinstance(prune, bool):
        raise InvalidInput("'prune' is true or false.")
    body = {key: value for key, value in call.object.items() if key != "prune"}
    definitions = await asyncio.to_thread(schedules_from_json, body)
    wanted = [new_schedule(call, definition) for definition in definitions]
    done = await asyncio.wrap_future(
        call.parts.store.write(lambda tx: schedules.apply(tx, call.project, wanted, time.time(), prune=prune))
    )
    wake(call)
    return Json({"success": True, **done, "fires": fires(call.parts)})


async def list_schedules(call: Call) -> Response:
    """List the schedules by name."""
    from fabric_jobs.store import schedules

    sql = call.parts.store.read
    found = [schedule_json(sql, one) for one in schedules.listed(sql, call.project)]
    return Json({"success": True, "schedules": found, "fires": fires(call.parts)})


async def show_schedule(call: Call) -> Response:
    """Show a schedule with its payload."""
    from fabric_jobs.store import schedules

    sql, one = call.parts.store.read, found_schedule(call)
    payload = orjson.Fragment(schedules.payload(sql, one.schedule_id))
    shown = {**schedule_json(sql, one), "delaySeconds": one.delay, "payload": payload}
    return Json({"success": True, "schedule": shown, "fires": fires(call.parts)})


async def list_occurrences(call: Call) -> Response:
    """List what became of the times of a schedule, the newest first; the newest 10,000 are kept."""
    from fabric_jobs.store import schedules

    one = found_schedule(call)
    found = schedules.occurrences(call.parts.store.read, one.schedule_id, limit=call.of(LIMIT), skip=call.of(SKIP))
    return Json({"success": True, "occurrences": [occurrence_json(item) for item in found]})


async def next_times(call: Call) -> Response:
    """Show the next times of a schedule, without `jitter_seconds`."""
    one = found_schedule(call)
    after = max(one.last_at, time.time())
    found = await asyncio.to_thread(lambda: list(islice(one.times.moments(after), call.of(COUNT))))
    times = [{"at": round(at * 1000), "text": one.times.shown(at)} for at in found]
    return Json({"success": True, "timezone": one.timezone, "times": times})


async def pause_schedule(call: Call) -> Response:
    """Pause a schedule: no time runs until it is resumed. What runs already goes on."""
    return await pause(call, found_schedule(call), call.object.get("note"))


async def resume_schedule(call: Call) -> Response:
    """Resume a schedule; the times that passed meanwhile do not run."""
    return await resume(call, found_schedule(call))


async def delete_schedule(call: Call) -> Response:
    """Delete a schedule with its occurrences; its activations stay."""
    return await delete(call, found_schedule(call))


async def trigger_schedule(call: Call) -> Response:
    """Start a run now, as `overlap` allows, also of a paused schedule.

    The next time of the schedule stays as it is.
    """
    one, now = found_schedule(call), time.time()
    await registered(call)
    at = _moment(call, "at")
    at = round(now, 3) if at is None else at
    made = await asyncio.to_thread(firing_of(call.parts).trigger, one, at, now)
    what = f"has started {made.activation_id}" if made.activation_id else f"is {made.outcome}: {made.reason}"
    return Json({"success": True, "occurrence": occurrence_json(made), "message": f"schedule '{one.name}' {what}."})


async def backfill_schedule(call: Call) -> Response:
    """Start a run for each past time from `from` to `to` that has none, whatever `overlap` says.

    One call handles at most 100 times; `nextFrom` is where the next one goes on, or null.
    """
    one, now = found_schedule(call), time.time()
    await registered(call)
    start, end = _moment(call, "from"), _moment(call, "to")
    if start is None:
        raise InvalidInput("'from' is missing.", hint='Give a time such as "2026-01-31T00:00:00Z".')
    end = now if end is None else min(end, now)
    times = await asyncio.to_thread(lambda: list(islice(_until(one, start, end), TOGETHER + 1)))
    rest, times = times[TOGETHER:], times[:TOGETHER]
    made = []
    if call.object.get("dryRun") is not True:
        made = await asyncio.to_thread(firing_of(call.parts).backfill, one, times, now)
    answer = {
        "times": [round(at * 1000) for at in times],
        "occurrences": [occurrence_json(item) for item in made],
        "nextFrom": round(rest[0] * 1000) if rest else None,
    }
    return Json({"success": True, **answer})


async def pause(call: Call, one: Schedule, note: object = None) -> Response:
    """Pause a schedule, and answer."""
    from fabric_jobs.store import schedules

    if note is not None and (not isinstance(note, str) or len(note) > LONGEST_NOTE):
        raise InvalidInput(f"'note' is a text of at most {LONGEST_NOTE:,} characters.")
    said = note or ""
    await asyncio.wrap_future(call.parts.store.write(lambda tx: schedules.pause(tx, one, said, time.time())))
    wake(call)
    return Json({"success": True, "message": f"schedule '{one.name}' is paused."})


async def resume(call: Call, one: Schedule) -> Response:
    """Resume a schedule, and answer."""
    from fabric_jobs.store import schedules

    if not one.paused:
        return Json({"success": True, "message": f"schedule '{one.name}' was not paused."})
    await asyncio.wrap_future(call.parts.store.write(lambda tx: schedules.resume(tx, one, time.time())))
    wake(call)
    return Json({"success": True, "message": f"schedule '{one.name}' is resumed."})


async def delete(call: Call, one: Schedule) -> Response:
    """Delete a schedule, and answer."""
    from fabric_jobs.store import schedules

    await asyncio.wrap_future(call.parts.store.write(lambda tx: schedules.delete(tx, one)))
    wake(call)
    return Json({"success": True, "message": f"schedule '{one.name}' is deleted; its activations stay."})


def _until(one: Schedule, start: float, end: float) -> Iterable[float]:
    for at in one.times.moments(start - 0.001):
        if at > end:
            return
        yield at


def _moment(call: Call, key: str) -> float | None:
    """Return a time of the body, in milliseconds since 1970 or as ISO 8601, in seconds; None if it is not given."""
    value = call.object.get(key)
    if value is None:
        return None
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 2**60
    if not is_number and not isinstance(value, str):
        raise InvalidInput(f"'{key}' is a time in milliseconds since 1970, or as ISO 8601.")
    found = value / 1000 if is_number else time_of(key, "").parse(value)
    if found is None or not -DAY_SECONDS < found < LAST_MOMENT + 1:
        raise InvalidInput(f"'{key}' is a time between 1970 and {datetime.fromtimestamp(LAST_MOMENT, UTC).year}.")
    return round(max(0.0, found), 3)  # the first day of 1970 may begin earlier in UTC


ALL, ONE = P + "/schedules", P + "/schedules/{name:path}"
# The names of schedules may have slashes, so longer paths are matched first; no name ends like one of them.
OPERATIONS = (
    Operation("GET", ALL, list_schedules, answer="Schedules"),
    Operation(
        "POST", ALL, save_schedule, body="NewSchedule", answer="SavedSchedule", errors=("404", "409"), role="run"
    ),
    Operation(
        "POST",
        ALL + "/apply",
        apply_schedules,
        body="ApplySchedules",
        answer="AppliedSchedules",
        errors=("404", "409"),
        role="run",
    ),
    Operation("GET", ONE + "/next", next_times, parameters=(COUNT,), answer="Times"),
    Operation("GET", ONE + "/occurrences", list_occurrences, parameters=(LIMIT, SKIP), answer="Occurrences"),
    Operation("POST", ONE + "/pause", pause_schedule, body="Pause", answer="Done", role="run"),
    Operation("POST", ONE + "/resume", resume_schedule, answer="Done", role="run"),
    Operation("POST", ONE + "/trigger", trigger_schedule, body="Trigger", answer="Triggered", role="run"),
    Operation("POST", ONE + "/backfill", backfill_schedule, body="Backfill", answer="Backfilled", role="run"),
    Operation("GET", ONE, show_schedule, answer="OneSchedule"),
    Operation("DELETE", ONE, delete_schedule, answer="Done", role="run"),
)

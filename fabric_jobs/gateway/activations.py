"""Activations: list, show, follow, cancel (docs/reference/http.md)."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Any

from starlette.responses import Response

from fabric_jobs.engine.launch import scheduled_at
from fabric_jobs.gateway import response
from fabric_jobs.gateway.answers import activation_json, milliseconds, task_json
from fabric_jobs.gateway.events import AFTER, event_json
from fabric_jobs.gateway.json_response import Json
from fabric_jobs.gateway.listing import BY_START, OLDEST_FIRST, wanted_of, where
from fabric_jobs.gateway.lookup import find_activation
from fabric_jobs.gateway.operation import Call, Operation
from fabric_jobs.gateway.parameters import LIMIT, SKIP, WAIT, WAIT_SECONDS, P, flag, number, text, time
from fabric_jobs.gateway.parts import Parts
from fabric_jobs.gateway.report import progress, report
from fabric_jobs.gateway.response import response_of
from fabric_jobs.records import Activation, Event
from fabric_jobs.states import ActivationState
from fabric_jobs.store import activations, dead_letters, events, tasks
from fabric_jobs.store.activations import ActivationSummary, RunFilter

ENDS = frozenset(f"activation.{state.value}" for state in ActivationState if state is not ActivationState.PENDING)
VERBOSE_TASKS = 1000  # at most this many are in a verbose record


STATUS = text("status", "Only with this status, in any case.")
AGENT_NAME = text("agentName", "Only of this agent.")
SKILL_NAME = text("skillName", "Only of this skill, invoked by itself.")
CORRELATION_ID = text("correlationId", "Only with this correlation id.")
WANTED = (STATUS, AGENT_NAME, SKILL_NAME, CORRELATION_ID)
WHERE = where("The first four as a [JSON object](#filter-and-sort).", '{"status":"COMPLETE"}')
TIMES = START_BEFORE, START_AFTER, END_BEFORE, END_AFTER = tuple(
    time(f"{edge}{side}", f"Only those whose `{edge}` is {side.lower()} this: milliseconds since 1970, or ISO 8601.")
    for edge in ("start", "end")
    for side in ("Before", "After")
)
VERBOSE = flag("verbose", "With `progress` and `tasks`.")
REPORT = flag("report", "Instead: when each skill ran, in milliseconds.")
PAUSE = number("pause", "How many seconds to gather news, unless the activation has ended.", 0, high=WAIT_SECONDS)


async def list_activations(call: Call) -> Response:
    """List activations, the newest first.

    Those that wait for their turn have `waitsBehind`.
    """
    said = wanted_of(call, WHERE, WANTED)
    wanted = RunFilter(
        project_id=call.project,
        state=said["status"].upper() if said["status"] else None,
        agent=said["agentName"],
        skill=said["skillName"],
        correlation_id=said["correlationId"],
        start_before=call.of(START_BEFORE),
        start_after=call.of(START_AFTER),
        end_before=call.of(END_BEFORE),
        end_after=call.of(END_AFTER),
        oldest_first=call.of(OLDEST_FIRST),
        limit=call.of(LIMIT),
        skip=call.of(SKIP),
        after=call.of(BY_START),
    )
    found = activations.listed(call.parts.store.read, wanted)
    listed = [{**_summary(activation), **waiting_of(call.parts, activation)} for activation in found]
    last = found[-1] if len(found) == wanted.limit else None
    following = None if last is None else f"{last.started_at!r}_{last.activation_id}"
    return Json({"success": True, "activations": listed, "next": following})


async def show_activation(call: Call) -> Response:
    """Show the [record](#the-record-of-an-activation) of an activation."""
    parts, activation = call.parts, find_activation(call)
    if call.of(REPORT):
        return Json(report(parts, activation))
    record = record_of(parts, activation)
    if call.of(VERBOSE):
        wanted = RunFilter(
            project_id=activation.project_id, activation_id=activation.activation_id, limit=VERBOSE_TASKS
        )
        record["progress"] = progress(parts, activation)
        record["tasks"] = [task_json(task, activation) for task in tasks.listed(parts.store.read, wanted)]
    return Json(record)


async def cancel_activation(call: Call) -> Response:
    """Ask for the end of an activation.

    Running tasks are stopped, with or without Fabric's `inFlight`. `cancelled` is false if the activation had already ended.
    """
    activation = find_activation(call)
    asked = await asyncio.wrap_future(
        call.parts.engine.cancel(activation.activation_id, call.project, "cancelled by its user")
    )
    message = "is being cancelled" if asked else f"has ended before ({activation.state.value})"
    return Json({"success": True, "cancelled": asked, "message": f"activation {activation.activation_id} {message}."})


async def follow_activation(call: Call) -> Response:
    """Answer with the events after a number, the progress, and the record once the activation has ended.

    With `wait` it answers when there is an event; with `pause` too, it gathers events for this long before that.
    """
    parts, project_id = call.parts, call.project
    activation = find_activation(call)
    begun = monotonic()
    deadline = begun + call.of(WAIT)
    gathered = min(deadline, begun + call.of(PAUSE))  # a progress display does not need every event at once
    found: list[Event] = []
    while not parts.live.closing:
        last = found[-1].number if found else call.of(AFTER)
        news = events.after(parts.store.read, last, project_id=project_id, activation_id=activation.activation_id)
        found += news
        left = (gathered if found else deadline) - monotonic()
        if left <= 0 or any(event.kind in ENDS for event in news):
            break
        key = "over" if found else "activation"  # once there are events, only the end is worth waking for
        await parts.live.wait([(key, activation.activation_id)], left)
    activation = find_activation(call, activation.activation_id)
    body: dict[str, Any] = {"events": [event_json(event) for event in found], "progress": progress(parts, activation)}
    if activation.ended:
        body["activation"] = record_of(parts, activation)
    return Json(body)


async def wait_for_end(parts: Parts, activation_id: str) -> dict[str, Any]:
    """Return the record of an activation once it has ended."""
    while True:
        activation = activations.find(parts.store.read, activation_id)
        assert activation is not None
        if activation.ended or parts.live.closing:
            return record_of(parts, activation)
        await parts.live.wait([("over", activation_id)], WAIT_SECONDS)


def record_of(parts: Parts, activation: Activation) -> dict[str, Any]:
    """Return the activation record; a response over the limits is {count, href}."""
    dead = sum(dead_letters.counts(parts.store.read, activation.activation_id).values())
    payload = activations.payload(parts.store.read, activation.activation_id)
    answer = response_of(parts, activation) if activation.ended else None
    at = scheduled_at(parts.store.read, activation)
    scheduled = {"scheduledAt": at} if at else {}
    return activation_json(activation, payload, answer, dead) | scheduled | waiting_of(parts, activation)


def waiting_of(parts: Parts, activation: Activation | ActivationSummary) -> dict[str, int]:
    """Return how many others come before an activation that waits for its turn; nothing if it does not wait."""
    if activation.admitted or activation.ended:
        return {}
    return {"waitsBehind": activations.waiting_before(parts.store.read, activation.activation_id)}


def _summary(activation: ActivationSummary) -> dict[str, Any]:
    return {
        "activationId": activation.activation_id,
        ("agentName" if activation.kind == "agent" else "skillName"): activation.name,
        "status": activation.state.value,
        "start": milliseconds(activation.started_at),
        "end": milliseconds(activation.ended_at),
        "cause": activation.cause,
    }


# An id has no slash. If a caller sends one anyway, the error says that there is no such activation.
ONE = P + "/activations/{activation:path}"
OPERATIONS = (
    Operation(
        "GET",
        P + "/activations",
        list_activations,
        parameters=(*WANTED, *TIMES, WHERE, OLDEST_FIRST, LIMIT, BY_START, SKIP),
        answer="Activations",
        errors=("501",),
    ),
    Operation("POST", ONE + "/cancel", cancel_activation, answer="Cancelled", role="run"),
    Operation("GET", ONE + "/follow", follow_activation, parameters=(AFTER, WAIT, PAUSE), answer="News"),
    *response.OPERATIONS,
    Operation("GET", ONE, show_activation, parameters=(VERBOSE, REPORT), answer=("Activation", "Report")),
)

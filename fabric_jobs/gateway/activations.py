"""Activations: list, show, follow, cancel, and the records of a response (docs/reference/http.md)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fabric_jobs.gateway.events import FOLLOW_SECONDS, event_json
from fabric_jobs.gateway.json_response import Json
from fabric_jobs.gateway.listing import oldest_first, wanted_of
from fabric_jobs.gateway.parts import (
    Parts,
    activation_json,
    find_activation,
    flag_of,
    milliseconds,
    number_of,
    parts_of,
    project_of,
    task_json,
    time_of,
    whole_of,
)
from fabric_jobs.gateway.report import progress, report
from fabric_jobs.records import Activation, Channel, Event
from fabric_jobs.routing import SOURCE, Plan
from fabric_jobs.states import ActivationState
from fabric_jobs.store import activations, channels, dead_letters, events, tasks
from fabric_jobs.store.activations import Filter

CHUNK_BYTES = 1 << 20
PAGE_RECORDS = 10_000
ENDS = frozenset(f"activation.{state.value}" for state in ActivationState if state is not ActivationState.PENDING)
VERBOSE_TASKS = 1000  # of them are in a verbose record


async def list_activations(request: Request) -> Response:
    """List the newest activations first, or with `sort=asc` the oldest."""
    project_id = project_of(request)
    said = wanted_of(request, ("status", "agentName", "skillName", "correlationId"))
    wanted = Filter(
        project_id=project_id,
        state=said["status"].upper() if said["status"] else None,
        agent=said["agentName"],
        skill=said["skillName"],
        correlation_id=said["correlationId"],
        start_before=time_of(request, "startBefore"),
        start_after=time_of(request, "startAfter"),
        end_before=time_of(request, "endBefore"),
        end_after=time_of(request, "endAfter"),
        oldest_first=oldest_first(request, "start", "startTime"),
        limit=whole_of(request, "limit", 20, low=1, high=10_000),
        skip=whole_of(request, "skip", 0),
    )
    found = activations.listed(parts_of(request).store.read, wanted)
    parts = parts_of(request)
    listed = [{**_summary(activation), **waiting_of(parts, activation)} for activation in found]
    return Json({"success": True, "activations": listed})


async def show_activation(request: Request) -> Response:
    """Show the activation record, more of it, or how it went skill by skill."""
    parts, activation = parts_of(request), find_activation(request, project_of(request))
    wants_report, wants_more = flag_of(request, "report"), flag_of(request, "verbose")
    if wants_report:
        return Json(report(parts, activation))
    record = record_of(parts, activation)
    if wants_more:
        wanted = Filter(project_id=activation.project_id, activation_id=activation.activation_id, limit=VERBOSE_TASKS)
        record["progress"] = progress(parts, activation)
        record["tasks"] = [task_json(task, activation) for task in tasks.listed(parts.store.read, wanted)]
    return Json(record)


async def cancel_activation(request: Request) -> Response:
    """Ask for the end of an activation."""
    parts, project_id = parts_of(request), project_of(request)
    activation = find_activation(request, project_id)
    asked = await asyncio.wrap_future(
        parts.engine.cancel(activation.activation_id, project_id, "cancelled by its user")
    )
    message = "is being cancelled" if asked else f"has ended before ({activation.state.value})"
    return Json({"success": True, "cancelled": asked, "message": f"activation {activation.activation_id} {message}."})


async def follow_activation(request: Request) -> Response:
    """Answer with the events after `after`, the progress, and the record once it has ended; wait for news up to `wait` s.

    News of an activation that goes on are gathered for `pause` s: who draws its progress does not ask at every event.
    """
    parts, project_id = parts_of(request), project_of(request)
    activation = find_activation(request, project_id)
    after = whole_of(request, "after", 0)
    begun = time.monotonic()
    deadline = begun + number_of(request, "wait", 0, high=FOLLOW_SECONDS)
    gathered = min(deadline, begun + number_of(request, "pause", 0, high=FOLLOW_SECONDS))
    found: list[Event] = []
    while not parts.live.closing:
        last = found[-1].number if found else after
        news = events.after(parts.store.read, last, project_id=project_id, activation_id=activation.activation_id)
        found += news
        left = (gathered if found else deadline) - time.monotonic()
        if left <= 0 or any(event.kind in ENDS for event in news):
            break
        key = "over" if found else "activation"  # once there are news, only the end is worth a look before it is time
        await parts.live.wait([(key, activation.activation_id)], left)
    activation = find_activation(request, project_id)
    body: dict[str, Any] = {"events": [event_json(event) for event in found], "progress": progress(parts, activation)}
    if activation.ended:
        body["activation"] = record_of(parts, activation)
    return Json(body)


async def response_records(request: Request) -> Response:
    """Answer with records of the response as NDJSON, from record `skip` on: a page of at most `limit`; an empty one is the end."""
    parts = parts_of(request)
    activation = find_activation(request, project_of(request))
    skip = whole_of(request, "skip", 0)
    limit = whole_of(request, "limit", PAGE_RECORDS, low=1, high=PAGE_RECORDS)
    page: list[bytes] = []
    for part in _lines(parts, activation, skip, limit):
        page.append(part)
        if sum(map(len, page)) >= CHUNK_BYTES:
            break
    return Response(b"".join(page), media_type="application/x-ndjson")


async def wait_for_end(parts: Parts, activation_id: str) -> dict[str, Any]:
    """Return the record of an activation once it has ended."""
    while True:
        activation = activations.find(parts.store.read, activation_id)
        assert activation is not None
        if activation.ended or parts.live.closing:
            return record_of(parts, activation)
        await parts.live.wait([("over", activation_id)], FOLLOW_SECONDS)


def record_of(parts: Parts, activation: Activation) -> dict[str, Any]:
    """Return the activation record; a response over the limits is {count, href}."""
    dead = sum(dead_letters.counts(parts.store.read, activation.activation_id).values())
    payload = activations.payload(parts.store.read, activation.activation_id)
    response = _response(parts, activation) if activation.ended else None
    return activation_json(activation, payload, response, dead) | waiting_of(parts, activation)


def waiting_of(parts: Parts, activation: Activation) -> dict[str, int]:
    """Return how many others have their turn before an activation, when it has to wait for its own; else nothing."""
    if activation.admitted or activation.ended:
        return {}
    return {"waitsBehind": activations.waiting_before(parts.store.read, activation.activation_id)}


def _summary(activation: Activation) -> dict[str, Any]:
    return {
        "activationId": activation.activation_id,
        ("agentName" if activation.kind == "agent" else "skillName"): activation.name,
        "status": activation.state.value,
        "start": milliseconds(activation.started_at),
        "end": milliseconds(activation.ended_at),
        "cause": activation.cause,
    }


def _response_channels(parts: Parts, activation: Activation) -> list[Channel]:
    plan = parts.engine.plans.of(parts.store.read, activation)
    found = channels.of_activation(parts.store.read, activation.activation_id)
    return [channel for channel in found if _is_response(plan, channel)]


def _is_response(plan: Plan, channel: Channel) -> bool:
    wire = plan.wires[channel.wire]
    return wire.target == SOURCE and wire.response == plan.response


def _response(parts: Parts, activation: Activation) -> Any:
    found = _response_channels(parts, activation)
    count = sum(channel.next_offset for channel in found)
    size = sum(channel.size for channel in found)
    if count == 0:
        return None
    if count > parts.settings.response_records or size > parts.settings.response_bytes:
        href = f"/fabric/v4/projects/{activation.project_id}/activations/{activation.activation_id}/response"
        return {"count": count, "href": href}
    lines = b"".join(_lines(parts, activation, 0, count)).rstrip(b"\n").split(b"\n")
    records = [orjson.Fragment(line) for line in lines]  # as they came: no other spelling of their numbers
    return records[0] if count == 1 else records


def _lines(parts: Parts, activation: Activation, skip: int, limit: int) -> Iterator[bytes]:
    for channel in _response_channels(parts, activation):
        offset = min(skip, channel.next_offset)
        skip -= offset
        while limit > 0 and offset < channel.next_offset:
            segment = parts.store.records(channel.channel_id, offset, max_bytes=CHUNK_BYTES)
            if segment is None:
                break
            segment = segment.part(offset, limit)
            yield segment.bytes
            offset = segment.end
            limit -= segment.count


P = "/fabric/v4/projects/{project}"
ROUTES = [
    Route(P + "/activations", list_activations, methods=["GET"]),
    # An id has no slash, but who types one is told in words that there is no such activation.
    Route(P + "/activations/{activation:path}/cancel", cancel_activation, methods=["POST"]),
    Route(P + "/activations/{activation:path}/follow", follow_activation, methods=["GET"]),
    Route(P + "/activations/{activation:path}/response", response_records, methods=["GET"]),
    Route(P + "/activations/{activation:path}", show_activation, methods=["GET"]),
]

"""Events after a number: as JSON, with a long poll, or as server-sent events."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

from starlette.responses import Response, StreamingResponse

from fabric_jobs.gateway.answers import milliseconds
from fabric_jobs.gateway.json_response import Json, dumps
from fabric_jobs.gateway.live import Key
from fabric_jobs.gateway.lookup import find_activation
from fabric_jobs.gateway.operation import Call, Operation
from fabric_jobs.gateway.parameters import ACTIVATION_ID, WAIT, P, header, whole
from fabric_jobs.gateway.parts import Parts
from fabric_jobs.records import Event
from fabric_jobs.store import events

PING_SECONDS = 15.0  # a silent stream sends a ping, so that proxies do not close it
STREAM = "text/event-stream"
AFTER = whole("after", "The number of the last event that you have.", 0)
LAST_EVENT = header("Last-Event-ID", "The `id` of the last event, when you open a stream again; wins over `after`.")


class EventQuery(NamedTuple):
    """Which events a caller wants."""

    project_id: str
    activation_id: str | None
    after: int

    @property
    def key(self) -> Key:
        """The key of `Live` to wait for."""
        return ("events", "") if self.activation_id is None else ("activation", self.activation_id)

    def found(self, parts: Parts) -> list[Event]:
        """Return the next page of them."""
        return events.after(parts.store.read, self.after, project_id=self.project_id, activation_id=self.activation_id)


async def list_events(call: Call) -> Response:
    """List events by growing number, or open a [stream](#a-stream-of-events) of them when `Accept` is text/event-stream."""
    parts, activation_id = call.parts, call.of(ACTIVATION_ID) or None
    if activation_id is not None:
        activation_id = find_activation(call, activation_id).activation_id
    wanted = EventQuery(project_id=call.project, activation_id=activation_id, after=_after(call))
    if STREAM in call.headers.get("accept", "") and call.method == "GET":
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(_stream(parts, wanted), media_type=STREAM, headers=headers)
    deadline = time.monotonic() + call.of(WAIT)
    while True:
        found = wanted.found(parts)
        left = deadline - time.monotonic()
        if found or left <= 0 or not await parts.live.wait([wanted.key], left):
            return Json({"success": True, "events": [event_json(event) for event in found]})


async def _stream(parts: Parts, wanted: EventQuery) -> AsyncIterator[bytes]:
    yield b": events\n\n"  # so that the headers leave at once
    while not parts.live.closing:
        found = wanted.found(parts)
        if found:
            yield b"".join(_frame(event) for event in found)
            wanted = wanted._replace(after=found[-1].number)
        elif not await parts.live.wait([wanted.key], PING_SECONDS):
            yield b": nothing new\n\n"


def _frame(event: Event) -> bytes:
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (event.number, event.kind.encode(), dumps(event_json(event)))


def _after(call: Call) -> int:
    """Return the number to start after; a reconnecting browser sends its last one in a header."""
    text = call.of(LAST_EVENT)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else call.of(AFTER)


def event_json(event: Event) -> dict[str, Any]:
    """Return an event as the API shows it."""
    return {
        "number": event.number,
        "kind": event.kind,
        "at": milliseconds(event.at),
        "activationId": event.activation_id,
        **event.body,
    }


OPERATIONS = (
    Operation(
        "GET",
        P + "/events",
        list_events,
        parameters=(AFTER, WAIT, ACTIVATION_ID, LAST_EVENT),
        answer=("Events", "EventStream"),
        errors=("404",),
    ),
)

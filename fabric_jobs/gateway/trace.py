"""Lineage of one record: back to the input, or forward to everything that it caused."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from starlette.responses import Response

from fabric_jobs.engine.trace import Stretch, Tracer
from fabric_jobs.errors import RecordsDamaged
from fabric_jobs.gateway.json_response import Json
from fabric_jobs.gateway.lookup import find_activation
from fabric_jobs.gateway.operation import Call, Operation
from fabric_jobs.gateway.parameters import P, choice, whole
from fabric_jobs.gateway.parts import Parts
from fabric_jobs.records import Activation, Segment

SHOWN_BYTES = 64 << 10  # of a payload


DIRECTION = choice(
    "direction", "To what the record came from, or to what it caused.", "back", "forward", default="back"
)
CHANNEL = whole("channel", "The channel of the record; 0 is the response or, forward, the input.", 0)
OFFSET = whole("offset", "The offset of the record in its channel.", None)


async def trace_record(call: Call) -> Response:
    """Show which records one record came from, or which it caused, the nearest first.

    `records` are the channels that the [trace](../howto/trace-records.md) passes. Without `channel` the record is that of the
    response with this offset, or, forward, the one that the caller gave.
    """
    activation, direction = find_activation(call), call.of(DIRECTION)
    channel = call.of(CHANNEL) or None
    stops = await asyncio.to_thread(_trace, call.parts, activation, direction, channel, call.of(OFFSET))
    return Json({"success": True, "activationId": activation.activation_id, "direction": direction, "records": stops})


def _trace(
    parts: Parts, activation: Activation, direction: str, channel: int | None, offset: int | None
) -> list[dict[str, Any]]:
    sql = parts.store.read
    tracer = Tracer(sql, activation, parts.engine.plans.of(sql, activation))
    if channel is not None:
        records = [(channel, offset or 0)]
    elif direction == "back":
        records = [tracer.place_of_response(offset or 0)]
    else:  # the input of a retry has one record for each retried dead letter
        records = tracer.inputs() if offset is None else [(channel_id, offset) for channel_id, _ in tracer.inputs()[:1]]
    walk = tracer.back if direction == "back" else tracer.forward
    return [_shown(tracer.describe(stop, _payload(parts, stop))) for stop in walk(*records)]


def _payload(parts: Parts, stop: Stretch) -> Segment | None:
    """Return the record of a stop, if it is a single one that is still kept; consumed records are deleted."""
    if len(stop.offsets) != 1:
        return None
    (offset,) = stop.offsets
    segment = parts.store.records(stop.channel.channel_id, offset, max_bytes=1)
    if segment is None or not segment.first_offset <= offset < segment.end:
        return None
    try:
        record = segment.part(offset, 1)
    except RecordsDamaged:  # its file may have just been deleted with its last needed record
        return None
    return record if len(record.bytes) <= SHOWN_BYTES else None


def _shown(stop: dict[str, Any]) -> dict[str, Any]:
    if "payload" in stop:
        stop["payload"] = orjson.Fragment(stop["payload"].rstrip(b"\n"))
    return stop


OPERATIONS = (
    Operation(
        "GET",
        P + "/activations/{activation}/trace",
        trace_record,
        parameters=(DIRECTION, CHANNEL, OFFSET),
        answer="Trace",
    ),
)

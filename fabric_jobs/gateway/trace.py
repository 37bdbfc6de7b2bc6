"""Lineage of one record, back to the input or forward to all that it caused."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fabric_jobs.engine.trace import Stop, Tracer
from fabric_jobs.errors import InvalidInput
from fabric_jobs.gateway.json_response import Json
from fabric_jobs.gateway.parts import Parts, find_activation, parts_of, project_of, whole_of
from fabric_jobs.records import Activation, Segment

SHOWN_BYTES = 64 << 10  # of a payload


async def trace(request: Request) -> Response:
    """Answer with the channels that a record's trace passes, the nearest first, and the offsets in each of them."""
    parts = parts_of(request)
    activation = find_activation(request, project_of(request))
    direction = request.query_params.get("direction") or "back"
    if direction not in ("back", "forward"):
        raise InvalidInput(f"'direction' is back or forward, not '{direction}'.")
    channel = whole_of(request, "channel", 0) or None
    offset = whole_of(request, "offset", 0) if request.query_params.get("offset") else None
    stops = await asyncio.to_thread(_trace, parts, activation, direction, channel, offset)
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
    else:  # the input of a retry has as many records as dead letters are tried again
        records = tracer.inputs() if offset is None else [(channel_id, offset) for channel_id, _ in tracer.inputs()[:1]]
    walk = tracer.back if direction == "back" else tracer.forward
    return [_shown(tracer.describe(stop, _payload(parts, stop))) for stop in walk(*records)]


def _payload(parts: Parts, stop: Stop) -> Segment | None:
    """Return the record of a stop when it is one, and is still kept: consumed records are deleted."""
    if len(stop.offsets) != 1:
        return None
    (offset,) = stop.offsets
    segment = parts.store.records(stop.channel.channel_id, offset, max_bytes=1)
    if segment is None or not segment.first_offset <= offset < segment.end:
        return None
    record = segment.part(offset, 1)
    return record if len(record.bytes) <= SHOWN_BYTES else None


def _shown(stop: dict[str, Any]) -> dict[str, Any]:
    if "payload" in stop:
        stop["payload"] = orjson.Fragment(stop["payload"].rstrip(b"\n"))
    return stop


ROUTES = [Route("/fabric/v4/projects/{project}/activations/{activation}/trace", trace, methods=["GET"])]

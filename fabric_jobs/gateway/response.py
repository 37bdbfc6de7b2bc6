"""The response of an activation: in its record, and record by record while it grows (docs/reference/http.md#a-response)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any
from urllib.parse import quote

import orjson
from starlette.responses import Response

from fabric_jobs.errors import InvalidInput
from fabric_jobs.gateway.lookup import find_activation
from fabric_jobs.gateway.operation import Call, Operation
from fabric_jobs.gateway.parameters import SKIP, WAIT, P, text, whole
from fabric_jobs.gateway.parts import Parts
from fabric_jobs.records import Activation, Channel
from fabric_jobs.routing import SOURCE, Plan
from fabric_jobs.store import channels, tasks

CHUNK_BYTES = 1 << 20
PAGE_RECORDS = 10_000
START = "0"
CURSOR_FORM = r"0|[0-9]{1,6}\.[0-9]{1,18}(-[0-9]{1,6}\.[0-9]{1,18})*"

CURSOR = text(
    "cursor", "Go on after the page that had this `x-fabric-cursor`.", type="string", pattern=f"^({CURSOR_FORM})?$"
)
PAGE = whole("limit", "How many at most.", PAGE_RECORDS, low=1, high=PAGE_RECORDS)
HEADERS = {
    "x-fabric-cursor": "The `cursor` of the next page.",
    "x-fabric-end": "`true` once the response can grow no more, and this page is the last; else `false`.",
}


@dataclass(frozen=True)
class Cursor:
    """How many records of each channel that leads to the response were read. Each channel grows on its own."""

    offsets: tuple[int, ...]

    @classmethod
    def parse(cls, text: str, ends: Sequence[int]) -> Cursor:
        """Return the cursor that a text spells; `ends` has the lengths of the channels. Raises InvalidInput."""
        offsets = [0] * len(ends)
        try:
            if not re.fullmatch(CURSOR_FORM, text):
                raise ValueError
            for part in text.split("-") if text != START else ():
                index, _, offset = part.partition(".")
                offsets[int(index)] = int(offset)
            if any(offset > end for offset, end in zip(offsets, ends, strict=True)):
                raise ValueError
        except (ValueError, IndexError):
            raise InvalidInput(
                f"'cursor' must be the 'x-fabric-cursor' of a page of this response, not '{text[:100]}'.",
                hint="Leave it out to read from the beginning.",
            ) from None
        return cls(tuple(offsets))

    @classmethod
    def after(cls, count: int, ends: Sequence[int]) -> Cursor:
        """Return the cursor after so many records, counted channel by channel."""
        offsets = []
        for end in ends:
            offsets.append(min(count, end))
            count -= offsets[-1]
        return cls(tuple(offsets))

    def __str__(self) -> str:
        return "-".join(f"{index}.{offset}" for index, offset in enumerate(self.offsets) if offset) or START


async def show_response(call: Call) -> Response:
    """Answer with a page of the records of the response, as they are there by now.

    To read it while it grows, pass on `cursor` until `x-fabric-end` is `true`; an empty page is not the end. With `wait` it
    answers when there are records, or at the end. `skip` counts the records of an ended activation: before that, records may
    still come in between.
    """
    parts, activation = call.parts, find_activation(call)
    if call.of(CURSOR) and call.of(SKIP):
        raise InvalidInput("'skip' has no effect with a 'cursor'.", hint="Leave one of them out.")
    deadline = monotonic() + call.of(WAIT)
    while True:
        # The channels are read last: nothing can come into them once these two are over.
        is_over = activation.ended and not tasks.live(parts.store.read, activation.activation_id)
        found = response_channels(parts, activation)
        ends = [channel.next_offset for channel in found]
        cursor = Cursor.parse(call.of(CURSOR), ends) if call.of(CURSOR) else Cursor.after(call.of(SKIP), ends)
        page, after = _page(parts, found, cursor, call.of(PAGE), in_order=activation.ended)
        is_end, left = is_over and list(after.offsets) == ends, deadline - monotonic()
        if page or is_end or left <= 0 or parts.live.closing:
            said = (str(after), str(is_end).lower())
            headers = dict(zip(HEADERS, said, strict=True))
            return Response(b"".join(page), media_type="application/x-ndjson", headers=headers)
        last = "activation" if activation.ended else "over"
        await parts.live.wait(
            [*(("channel", item.channel_id) for item in found), (last, activation.activation_id)], left
        )
        activation = find_activation(call, activation.activation_id)


def response_of(parts: Parts, activation: Activation) -> Any:
    """Return the response as its record has it: null, one record, a list, or {count, href} when it is over the limits."""
    found = response_channels(parts, activation)
    count = sum(channel.next_offset for channel in found)
    size = sum(channel.size for channel in found)
    if count == 0:
        return None
    if count > parts.settings.response_records or size > parts.settings.response_bytes:
        activation_id = quote(activation.activation_id, safe="")
        href = f"/fabric/v4/projects/{activation.project_id}/activations/{activation_id}/response"
        return {"count": count, "href": href}
    lines = b"".join(part for channel in found for part, _ in _read(parts, channel, 0, count))
    records = [orjson.Fragment(line) for line in lines.rstrip(b"\n").split(b"\n")]  # numbers keep their spelling
    return records[0] if count == 1 else records


def response_channels(parts: Parts, activation: Activation) -> list[Channel]:
    """Return the channels that lead to the output that answers, in the order of the mappings."""
    plan = parts.engine.plans.of(parts.store.read, activation)
    found = channels.of_activation(parts.store.read, activation.activation_id)
    return [channel for channel in found if _is_response(plan, channel)]


def _is_response(plan: Plan, channel: Channel) -> bool:
    wire = plan.wires[channel.wire]
    return wire.target == SOURCE and wire.response == plan.response


def _page(
    parts: Parts, found: Sequence[Channel], cursor: Cursor, limit: int, *, in_order: bool
) -> tuple[list[bytes], Cursor]:
    """Return about CHUNK_BYTES of records, and the cursor after them.

    Channels come in their order, or else the one that least was read of first: none that grows fast can hold up the others.
    """
    offsets, page, size = list(cursor.offsets), list[bytes](), 0
    for index in sorted(range(len(found)), key=lambda index: 0 if in_order else offsets[index]):
        for part, end in _read(parts, found[index], offsets[index], limit):
            page.append(part)
            size += len(part)
            limit -= end - offsets[index]
            offsets[index] = end
            if size >= CHUNK_BYTES:
                return page, Cursor(tuple(offsets))
    return page, Cursor(tuple(offsets))


def _read(parts: Parts, channel: Channel, offset: int, limit: int) -> Iterator[tuple[bytes, int]]:
    """Yield records of a channel from `offset` on, in parts, each with the offset after it."""
    stop = min(channel.next_offset, offset + limit)
    while offset < stop:
        segment = parts.store.records(channel.channel_id, offset, max_bytes=CHUNK_BYTES)
        if segment is None:
            return
        segment = segment.part(offset, stop - offset)
        yield segment.bytes, segment.end
        offset = segment.end


OPERATIONS = (
    Operation(
        "GET",
        P + "/activations/{activation:path}/response",
        show_response,
        parameters=(CURSOR, PAGE, WAIT, SKIP),
        answer="Records",
        headers=HEADERS,
    ),
)

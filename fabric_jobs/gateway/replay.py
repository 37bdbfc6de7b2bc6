"""Hands out records to a retry: first the current record, then the rest without dead ones, suspects in steps.

After two attempts have died at an unknown record, the next one gets the suspects in steps. Each step is noted before it is
handed out: if this attempt dies too, the culprit is among that step (`fabric_jobs.engine.suspects`).
"""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from starlette.responses import Response

from fabric_jobs.engine.suspects import read
from fabric_jobs.gateway.parts import Parts
from fabric_jobs.gateway.sender_files import seen
from fabric_jobs.records import Channel, Segment, Task
from fabric_jobs.store import dead_letters, tasks

PULL_BYTES = 256 << 10


def answer_with(
    parts: Parts, task: Task, channel_id: int, segment: Segment, *, careful: bool = False, sees: bool = False
) -> Response:
    """Return the answer to a pull, and note what the attempt gets: if it dies silently, these records are suspects.

    `sees`: the program reads senders' files itself.
    """
    parts.store.handed_out.note(task.task_id, task.attempt, {channel_id: segment.end})
    headers = {"x-fabric-channel": str(channel_id), "x-fabric-first": str(segment.first_offset)}
    if careful:
        headers["x-fabric-careful"] = "1"  # the next pull must follow the acknowledgement of this record
    body = b""
    if sees and any(seen(part) for part in segment.parts):
        places: list[Any] = []
        for part in segment.parts:
            place = seen(part)
            data = b"" if place else part if isinstance(part, bytes) else part.read()
            places.append(place or len(data))
            body += data
        headers["x-fabric-parts"] = orjson.dumps(places).decode()
    else:
        body = segment.bytes
    return Response(body, media_type="application/x-ndjson", headers=headers)


async def records(parts: Parts, task: Task, found: list[Channel], positions: dict[int, int]) -> Response | None:
    """Return the next records for an attempt that is not the first; None if there are none yet.

    `positions` is updated to skip dead records.
    """
    suspects = {key: each for key, each in read(task.careful).items() if each.step}
    if task.hand and not positions:
        channel_id, offset = orjson.loads(task.hand)  # some of its outputs are already stored
        segment = parts.store.records(channel_id, offset, max_bytes=1)
        if segment is None:
            return None
        await _note(parts, task, f"[{channel_id}, {offset}]" if suspects else task.left_at)
        return answer_with(parts, task, channel_id, segment.part(offset, 1), careful=bool(suspects))
    for channel in found:
        key = channel.channel_id
        offset = max(positions.get(key, 0), channel.acked)
        dead = dead_letters.offsets(parts.store.read, key, offset)
        while dead and dead[0] == offset:
            offset += 1
            dead.pop(0)
        positions[key] = offset
        if offset >= channel.next_offset:
            continue
        segment = parts.store.records(key, offset, max_bytes=PULL_BYTES)
        if segment is None:
            continue
        if dead:
            segment = segment.part(offset, dead[0] - offset)
        return await hand_out(parts, task, key, segment.part(offset))
    if suspects:
        await _note(parts, task, None)
    return None


async def hand_out(parts: Parts, task: Task, channel_id: int, segment: Segment) -> Response:
    """Answer a retry with records; if it has suspects, with one step of them, noted first, or with the records around them."""
    offset, all_suspects = segment.first_offset, read(task.careful)
    if not any(each.step for each in all_suspects.values()):
        return answer_with(parts, task, channel_id, segment)
    suspects = all_suspects.get(channel_id)
    if suspects is None or not suspects.step or offset >= suspects.end:
        await _note(parts, task, None)
        return answer_with(parts, task, channel_id, segment)
    if offset < suspects.first:
        # Careful: otherwise the next step would be noted while these are still being processed.
        await _note(parts, task, None)
        return answer_with(parts, task, channel_id, segment.part(offset, suspects.first - offset), careful=True)
    step = segment.part(offset, min(suspects.step, suspects.end - offset))
    await _note(parts, task, f"[{channel_id}, {offset}, {step.end}]" if step.count > 1 else f"[{channel_id}, {offset}]")
    return answer_with(parts, task, channel_id, step, careful=True)


async def _note(parts: Parts, task: Task, left_at: str | None) -> None:
    now = tasks.find(parts.store.read, task.task_id)
    if now is not None and now.left_at != left_at:
        await asyncio.wrap_future(
            parts.store.write(lambda tx: tasks.note_left(tx, task.task_id, task.attempt, left_at))
        )

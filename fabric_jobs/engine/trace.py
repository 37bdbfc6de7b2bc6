"""Traces a record: where it came from, back to the input, and everything it caused.

Reads the origins that each commit stored (`fabric_jobs.store.sent`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from fabric_jobs.errors import NotFound
from fabric_jobs.records import Activation, Channel, Segment, Task
from fabric_jobs.routing import JOIN, SOURCE, Plan
from fabric_jobs.store import channels, tasks, trace
from fabric_jobs.store.sent import ALL, parents_of, range_of
from fabric_jobs.store.sql import Sql

TASKS_SHOWN = 10
RANGES_SHOWN = 1000

Offsets = set[int]


@dataclass
class Stretch:
    """The records of one channel that belong to a trace."""

    channel: Channel
    offsets: Offsets
    tasks: dict[int, Task] = field(default_factory=dict)  # the tasks that made them


class Tracer:
    """Walks the channels of one activation."""

    def __init__(self, sql: Sql, activation: Activation, plan: Plan) -> None:
        self._sql = sql
        self._plan = plan
        found = channels.of_activation(sql, activation.activation_id)
        self.channels = {channel.channel_id: channel for channel in found}
        self._tasks: dict[int, Task | None] = {}

    def back(self, *records: tuple[int, int]) -> list[Stretch]:
        """Return where records came from, nearest first, beginning with the records themselves."""
        return self._walk(records, self._parents)

    def forward(self, *records: tuple[int, int]) -> list[Stretch]:
        """Return what records caused, nearest first, beginning with the records themselves."""
        return self._walk(records, self._children)

    def place_of_response(self, offset: int) -> tuple[int, int]:
        """Return channel and offset of a record of the response, given its index there; raise NotFound."""
        left = offset
        for channel in self.channels.values():
            wire = self._plan.wires[channel.wire]
            if wire.target == SOURCE and wire.response == self._plan.response:
                if left < channel.next_offset:
                    return channel.channel_id, left
                left -= channel.next_offset
        raise NotFound(
            f"the response has {offset - left:,} records, so it has no record {offset:,}.",
            hint="Offsets count from 0.",
        )

    def inputs(self) -> list[tuple[int, int]]:
        """Return channel and offset of the caller's record, in each channel that it went to."""
        found = [item for item in self.channels.values() if self._plan.wires[item.wire].source == SOURCE]
        return [(channel.channel_id, offset) for channel in found for offset in range(channel.next_offset)]

    def describe(self, stop: Stretch, payload: Segment | None) -> dict[str, Any]:
        """Return a stop as the API shows it."""
        runs = list(islice(_runs(stop.offsets), RANGES_SHOWN + 1))
        shown: dict[str, Any] = {
            "channel": stop.channel.channel_id,
            "mapping": str(self._plan.wires[stop.channel.wire]),
            "count": len(stop.offsets),
            "offsets": [list(run) for run in runs[:RANGES_SHOWN]],
            "tasks": [task.name for task in islice(stop.tasks.values(), TASKS_SHOWN)],
        }
        if len(runs) > RANGES_SHOWN:
            shown["truncated"] = True
        if payload is not None:
            shown["payload"] = payload.bytes
        return shown

    def _walk(self, records: tuple[tuple[int, int], ...], step: Any) -> list[Stretch]:
        """Repeat a step until it finds nothing new: a cycle can reach a channel several times."""
        for channel_id, offset in records:
            if channel_id not in self.channels or not 0 <= offset < self.channels[channel_id].next_offset:
                raise NotFound(f"there is no record {offset:,} in channel {channel_id}.")
        stops: dict[int, Stretch] = {}
        pending: list[tuple[int, Offsets]] = [(channel_id, {offset}) for channel_id, offset in records]
        while pending:
            key, offsets = pending.pop(0)
            stop = stops.setdefault(key, Stretch(self.channels[key], set()))
            new = offsets - stop.offsets
            if new:
                stop.offsets |= new
                pending += step(stop, new).items()
        return list(stops.values())

    def _parents(self, stop: Stretch, offsets: Offsets) -> dict[int, Offsets]:
        source = self._plan.wires[stop.channel.wire].source
        if source.endswith(JOIN):
            return {channel.channel_id: set(range(channel.next_offset)) for channel in self._into(source)}
        found: dict[int, Offsets] = {}
        for row in trace.rows(self._sql, stop.channel.channel_id, min(offsets)):
            wanted = offsets & set(range(row.first_offset, row.end))
            if not wanted:
                continue
            task = self._task(row.task_id)
            if task is not None:
                stop.tasks[task.task_id] = task
            for channel, offset in self._origins(row, task, source, wanted):
                found.setdefault(channel, set()).add(offset)
        return found

    def _origins(
        self, row: trace.TraceRow, task: Task | None, source: str, wanted: Offsets
    ) -> Iterator[tuple[int, int]]:
        if row.parents == ALL:
            for channel in self._into(source):
                yield from ((channel.channel_id, offset) for offset in range(channel.next_offset))
        elif (own := range_of(row.parents)) is not None:
            yield from ((own[0], offset) for offset in range(own[1], own[2]))
        elif row.parents:
            origins = parents_of(row.parents)
            yield from (
                origins[offset - row.first_offset] for offset in wanted if origins[offset - row.first_offset][0]
            )
        elif task is not None and task.channel_id is not None and task.record_offset is not None:
            yield task.channel_id, task.record_offset  # stored before version 0.5

    def _children(self, stop: Stretch, offsets: Offsets) -> dict[int, Offsets]:
        target = stop.channel.node
        if not target:
            return {}
        out = [channel for channel in self.channels.values() if self._plan.wires[channel.wire].source == target]
        if target.endswith(JOIN):
            return {channel.channel_id: set(range(channel.next_offset)) for channel in out}
        found: dict[int, Offsets] = {}
        for channel in out:
            for row in trace.rows(self._sql, channel.channel_id, 0):
                made = set(self._made(row, stop.channel.channel_id, offsets))
                if made:
                    found.setdefault(channel.channel_id, set()).update(made)
        return found

    def _made(self, row: trace.TraceRow, channel_id: int, offsets: Offsets) -> Iterable[int]:
        if row.parents == ALL:
            return range(row.first_offset, row.end)
        if (own := range_of(row.parents)) is not None:
            is_its = own[0] == channel_id and any(offset in offsets for offset in range(own[1], own[2]))
            return range(row.first_offset, row.end) if is_its else ()
        if row.parents:
            origins = enumerate(parents_of(row.parents), start=row.first_offset)
            return [place for place, (channel, offset) in origins if channel == channel_id and offset in offsets]
        task = self._task(row.task_id)
        is_its = task is not None and task.channel_id == channel_id and task.record_offset in offsets
        return range(row.first_offset, row.end) if is_its else ()

    def _into(self, node: str) -> list[Channel]:
        return [channel for channel in self.channels.values() if channel.node == node]

    def _task(self, task_id: int) -> Task | None:
        if task_id not in self._tasks:
            self._tasks[task_id] = tasks.find(self._sql, task_id)
        return self._tasks[task_id]


def _runs(offsets: Offsets) -> Iterator[tuple[int, int]]:
    """Yield the ranges of offsets, [first, next), in order."""
    first = last = -2
    for offset in sorted(offsets):
        if offset != last + 1:
            if first >= 0:
                yield first, last + 1
            first = offset
        last = offset
    if first >= 0:
        yield first, last + 1

"""Reads the records that a node is called with next: one by one, or put together as its action says."""

from __future__ import annotations

from dataclasses import dataclass

from fabric_jobs.clock import steady
from fabric_jobs.definitions import Batch
from fabric_jobs.records import Channel
from fabric_jobs.store import Store, channels

PULL_BYTES = 256 << 10


@dataclass(frozen=True, slots=True)
class Unit:
    """The records of one call."""

    channel_id: int
    first: int
    records: tuple[bytes, ...]


class Intake:
    """The records of one node of one activation, from the acknowledged ones on."""

    def __init__(self, store: Store, activation_id: str, node: str, batch: Batch | None) -> None:
        self._store = store
        self._activation_id = activation_id
        self._node = node
        self._batch = batch
        self._positions: dict[int, int] = {}
        self._since: dict[int, float] = {}  # channel -> since when its incomplete batch waits

    @property
    def is_fresh(self) -> bool:
        """Whether nothing has been read yet."""
        return not self._positions

    @property
    def due_in(self) -> float | None:
        """In how many seconds an incomplete batch is due; None if none waits."""
        if self._batch is None or not self._since:
            return None
        return max(0.0, min(self._since.values()) + self._batch.seconds - steady())

    def next(self) -> list[Unit]:
        """Return what can be called with now; each record is returned once."""
        for channel in channels.inbound(self._store.read, self._activation_id, self._node):
            offset = max(channel.acked, self._positions.get(channel.channel_id, 0))
            self._positions[channel.channel_id] = offset
            if offset < channel.next_offset and (found := self._units(channel, offset)):
                self._positions[channel.channel_id] = found[-1].first + len(found[-1].records)
                self._since.pop(channel.channel_id, None)
                return found
        return []

    def _units(self, channel: Channel, offset: int) -> list[Unit]:
        size = 1 if self._batch is None else self._batch.size
        lines, is_all = self._lines(channel, offset, size)
        whole = len(lines) - len(lines) % size
        if whole == 0 and lines and self._is_due(channel, is_all=is_all):
            whole = len(lines)
        firsts = range(0, whole, size)
        return [
            Unit(channel.channel_id, offset + first, tuple(lines[first : min(first + size, whole)])) for first in firsts
        ]

    def _lines(self, channel: Channel, offset: int, wanted: int) -> tuple[list[bytes], bool]:
        """Return at least `wanted` records if they are there and not too long, and whether these are all there are."""
        lines: list[bytes] = []
        size = 0
        while size < PULL_BYTES and offset + len(lines) < channel.next_offset:
            segment = self._store.records(channel.channel_id, offset + len(lines), max_bytes=PULL_BYTES - size)
            if segment is None:
                break
            lines += segment.bytes.split(b"\n")[: segment.count]
            size += segment.size
            if len(lines) >= wanted:
                break
        return lines, offset + len(lines) >= channel.next_offset

    def _is_due(self, channel: Channel, *, is_all: bool) -> bool:
        """Return whether an incomplete batch goes now: no record can follow, the next is too long, or it has waited enough."""
        assert self._batch is not None
        since = self._since.setdefault(channel.channel_id, steady())
        return channel.ended or not is_all or steady() >= since + self._batch.seconds

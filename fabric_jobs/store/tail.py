"""Caches the newest records of each channel for consumers that keep up; slower ones read SQLite."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque

from fabric_jobs.records import Segment
from fabric_jobs.store.writer import Appended

CHANNEL_BYTES = 4 << 20
TOTAL_BYTES = 32 << 20
PLACE_BYTES = 200  # the weight of a reference to a file
CHANNELS = 1024  # at most; ended activations go first


class Tail:
    """A bounded cache of segments; safe to use from every thread."""

    def __init__(self, *, channel_bytes: int = CHANNEL_BYTES, total_bytes: int = TOTAL_BYTES) -> None:
        self._channel_bytes = channel_bytes
        self._total_bytes = total_bytes
        self._segments: OrderedDict[int, deque[Segment]] = OrderedDict()  # the most recently written channel is last
        self._sizes: dict[int, int] = {}
        self._total = 0
        self._lock = threading.Lock()

    def add(self, appended: Appended) -> None:
        """Keep committed records; above the limit, drop the oldest."""
        segment = appended.segment
        size = _weight(segment)
        with self._lock:
            segments = self._segments.setdefault(appended.channel_id, deque())
            segments.append(segment)
            self._segments.move_to_end(appended.channel_id)
            self._sizes[appended.channel_id] = self._sizes.get(appended.channel_id, 0) + size
            self._total += size
            while self._sizes.get(appended.channel_id, 0) > self._channel_bytes:
                self._pop(appended.channel_id)
            while self._total > self._total_bytes or len(self._segments) > CHANNELS:
                self._pop(next(iter(self._segments)))  # the least recently written channel

    def forget(self, channel_id: int, below: int | None = None) -> None:
        """Drop the segments that end at or before an offset; without one, the whole channel."""
        with self._lock:
            segments = self._segments.get(channel_id)
            while segments and (below is None or segments[0].end <= below):
                self._pop(channel_id)

    def read(self, channel_id: int, offset: int, *, max_bytes: int) -> Segment | None:
        """Return records from `offset` on: about `max_bytes`, and at least one record; None when they are not cached."""
        with self._lock:
            segments = self._segments.get(channel_id)
            if not segments or segments[0].first_offset > offset or segments[-1].end <= offset:
                return None
            found: list[Segment] = []
            size = 0
            for segment in segments:
                if segment.end <= offset:
                    continue
                if found and size + segment.size > max_bytes:
                    break
                found.append(segment)
                size += segment.size
        found[0] = found[0].part(offset)
        return Segment.joined(found)

    def _pop(self, channel_id: int) -> None:
        segment = self._segments[channel_id].popleft()
        self._sizes[channel_id] -= _weight(segment)
        self._total -= _weight(segment)
        if not self._segments[channel_id]:
            del self._segments[channel_id], self._sizes[channel_id]


def _weight(segment: Segment) -> int:
    """Return the bytes that a segment takes here. The bytes of a file are in the kernel's cache, if anywhere."""
    return sum(len(part) if isinstance(part, bytes) else PLACE_BYTES for part in segment.parts)

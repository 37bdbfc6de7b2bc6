"""The records of batches. Consecutive batches are mostly in one segment, so the last segments of a channel stay split."""

from __future__ import annotations

from collections import OrderedDict

from fabric_jobs.errors import StaleAttempt
from fabric_jobs.store import Store

READ_BYTES = 64 << 10  # of records at a time, and at least one segment
CHANNELS = 32  # whose segments stay
SEGMENTS = 2  # of each channel: workers are not all in the same one


class BatchLines:
    """The records of batches, read from the store. All of it runs in the event loop."""

    def __init__(self) -> None:
        self._read: OrderedDict[int, list[tuple[int, list[bytes]]]] = OrderedDict()  # by channel: first offset, records

    def of(self, store: Store, channel_id: int, first: int, below: int) -> list[bytes]:
        """Return records of a channel, each as JSON text; raise StaleAttempt when they are finished."""
        found: list[bytes] = []
        while first < below:
            start, lines = self._segment(store, channel_id, first)
            part = lines[first - start : below - start]
            found += part
            first += len(part)
        return found

    def _segment(self, store: Store, channel_id: int, offset: int) -> tuple[int, list[bytes]]:
        """Return the first offset and the records of a piece that has the record at `offset`."""
        known = self._read.setdefault(channel_id, [])
        self._read.move_to_end(channel_id)
        for start, lines in known:
            if start <= offset < start + len(lines):
                return start, lines
        segment = store.records(channel_id, offset, max_bytes=READ_BYTES)
        if segment is None:
            raise StaleAttempt("these records are finished: somebody else has handled them")
        known.append((segment.first_offset, segment.bytes.split(b"\n")[:-1]))
        del known[:-SEGMENTS]
        while len(self._read) > CHANNELS:
            self._read.popitem(last=False)
        return known[-1]

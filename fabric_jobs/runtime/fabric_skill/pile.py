"""What a commit carries: records by output, what they were made from, and the records that are rejected."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

Run = tuple[int, int, "int | list[int]"]


def runs(origins: Sequence[tuple[int, int, int]], count: int, *, one_channel: bool) -> list[Run]:
    """Return what `count` records were made from, as `fabric_jobs.store.sent` has it: short where one made one after the other."""
    if not origins:
        return []
    first, last = origins[0], origins[-1]
    if one_channel and len(origins) == count and last[1] - first[1] == count - 1:
        return [(first[0], first[1], count)]
    found: list[Run] = []
    for channel, group in groupby(origins, key=itemgetter(0)):
        steps: list[int] = []
        before = begin = -1
        for _, offset, made in group:
            begin = offset if begin < 0 else begin
            steps.append(offset - before if before >= 0 else 0)
            steps += [0] * (made - 1)
            before = offset
        found.append((channel, begin, steps))
    return found


class Pile:
    """Records by output, and rejections."""

    def __init__(self) -> None:
        self.count = 0  # of both
        self.size = 0  # their bytes
        self.rejects: list[list[Any]] = []  # channel, offset, reason, details
        self._outputs: dict[str, list[bytes]] = {}
        self._origins: dict[str, list[tuple[int, int, int]]] = {}  # channel, offset, records

    def __bool__(self) -> bool:
        return self.count > 0

    def add(self, output: str, record: bytes, origin: tuple[int, int, int] | None = None) -> None:
        """Take a record; its `origin` may be told later."""
        self._outputs.setdefault(output, []).append(record)
        if origin is not None:
            self._origins.setdefault(output, []).append(origin)
        self.count += 1
        self.size += len(record)

    def reject(self, entry: list[Any], size: int) -> None:
        """Take a rejection."""
        self.rejects.append(entry)
        self.count += 1
        self.size += size

    def extend(self, other: Pile, channel: int, offset: int) -> None:
        """Take the records of another pile, all of which were made from one."""
        for output, records in other._outputs.items():
            self._outputs.setdefault(output, []).extend(records)
            self._origins.setdefault(output, []).append((channel, offset, len(records)))
        self.count += other.count
        self.size += other.size

    def made_from(self, channel: int, offset: int) -> None:
        """Note that all of it was made from one record."""
        self._origins = {name: [(channel, offset, len(records))] for name, records in self._outputs.items()}

    def encoded(self, *, parents: bool, one_channel: bool) -> tuple[dict[str, Any], bytes]:
        """Return what the head of a commit says of it, and the records one after the other."""
        parts = [(name, len(records), b"".join(records)) for name, records in self._outputs.items()]
        made = parts if parents else []
        head = {
            "outputs": [[name, count, len(data)] for name, count, data in parts],
            "parents": [runs(self._origins.get(name, ()), count, one_channel=one_channel) for name, count, _ in made],
            "rejects": self.rejects,
        }
        return head, b"".join(data for _, _, data in parts)


class Window:
    """How much is under way, and how much may be."""

    def __init__(self, count: int, size: int) -> None:
        self._limits = (count, size)
        self._count = self._size = 0

    def __bool__(self) -> bool:
        return self._count > 0

    def is_full(self, size: int) -> bool:
        """Whether something of `size` bytes has to wait; alone it never has to."""
        return self._count >= self._limits[0] or (self._count > 0 and self._size + size > self._limits[1])

    def add(self, size: int) -> None:
        """One more is under way."""
        self._count += 1
        self._size += size

    def remove(self, pile: Pile) -> None:
        """A pile is committed, or dropped."""
        self._count -= pile.count
        self._size -= pile.size

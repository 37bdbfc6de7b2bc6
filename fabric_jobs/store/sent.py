"""Records to be appended to channels, with their origins.

The origin of records is a JSON list of runs. A run `[channel, first, count]` stands for `count` records, made from `first`,
`first + 1`, …. A run `[channel, first, [steps…]]` stands for one record per step; each step is added to the offset before it,
the first one to `first`. Channel 0 means no record. Text that begins with EACH, `=[channel, first, below]`, means that every record
was made from all of that range. Empty text means the record of the task, if it has one. ALL means every record that the task
has read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import accumulate, groupby, pairwise
from typing import Any

ALL = "*"
EACH = "="


@dataclass(frozen=True, kw_only=True, slots=True)
class Written:
    """Where a sender has already written records: in a file of its attempt, which the owner has verified."""

    name: str  # of the file, relative to the directory of records
    at: int
    task_id: int | None = None
    attempt: int | None = None
    crc: int | None = None  # of all the bytes; None: to be computed


@dataclass(frozen=True, kw_only=True, slots=True)
class Sent:
    """Records for one output: NDJSON, each record ends in a newline."""

    output: str
    count: int
    bytes: bytes
    parents: str = ""  # JSON of runs
    written: Written | None = None  # None: nowhere yet

    def split(self, count: int) -> tuple[Sent, Sent]:
        """Return the first `count` records and the rest."""
        first = min(count, self.count)
        head = b"".join(line + b"\n" for line in self.bytes.split(b"\n")[:first])
        written = self.written and replace(self.written, crc=None)
        rest = written and replace(written, at=written.at + len(head))
        return (
            Sent(
                output=self.output,
                count=first,
                bytes=head,
                parents=self._origins(range(first)),
                written=written,
            ),
            Sent(
                output=self.output,
                count=self.count - first,
                bytes=self.bytes[len(head) :],
                parents=self._origins(range(first, self.count)),
                written=rest,
            ),
        )

    def only(self, kept: list[int]) -> Sent:
        """Return the records with these indexes."""
        lines = self.bytes.split(b"\n")
        return Sent(
            output=self.output,
            count=len(kept),
            bytes=b"".join(lines[index] + b"\n" for index in kept),
            parents=self._origins(kept),
        )

    def _origins(self, places: Iterable[int]) -> str:
        if self.parents in ("", ALL) or self.parents.startswith(EACH):
            return self.parents
        origins = parents_of(self.parents)
        return runs_of(origins[place] for place in places)


def parents_of(text: str) -> list[tuple[int, int]]:
    """Return the channel and offset that each record was made from, in order; empty when the text has no runs."""
    found: list[tuple[int, int]] = []
    is_list = text not in ("", ALL) and not text.startswith(EACH)
    for channel, first, rest in json.loads(text) if is_list else ():
        if isinstance(rest, int):
            found += [(channel, offset) for offset in range(first, first + rest)]
        else:
            found += [(channel, offset) for offset in accumulate(rest, initial=first)][1:]
    return found


def runs_of(origins: Iterable[tuple[int, int]]) -> str:
    """Return origins as text, the inverse of `parents_of`."""
    runs: list[list[Any]] = []
    for channel, group in groupby(origins, key=lambda origin: origin[0]):
        offsets = [offset for _, offset in group]
        steps = [after - before for before, after in pairwise(offsets)]
        plain = all(step == 1 for step in steps)
        runs.append([channel, offsets[0], len(offsets) if plain else [0, *steps]])
    return json.dumps(runs, separators=(",", ":")) if runs else ""


def count_of(runs: Any) -> int:
    """Return how many records decoded runs stand for; raise ValueError or TypeError for anything else."""
    count = 0
    for channel, first, rest in runs:
        steps = rest if isinstance(rest, list) else ()
        length = len(steps) if isinstance(rest, list) else rest
        if (
            not all(isinstance(value, int) for value in (channel, first, length, *steps))
            or min(channel, first, length) < 0
        ):
            raise ValueError("an origin is a channel, an offset, and a count or steps")
        count += length
    return count


def each_of(channel: int, first: int, below: int) -> str:
    """Return the origin of records that were all made from the same range of records."""
    return f"{EACH}[{channel},{first},{below}]"


def range_of(text: str) -> tuple[int, int, int] | None:
    """Return the channel, first offset and end of an origin that `each_of` made; None for any other."""
    if not text.startswith(EACH):
        return None
    channel, first, below = json.loads(text[len(EACH) :])
    return channel, first, below

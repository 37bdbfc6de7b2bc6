"""Tracks what the program has read, sent and finished, and what the next commit contains.

The program's own thread does little per record: it appends the text, and how many records of its batch are left, which tells
the record that caused it. What is finished is worked out only when needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

LINE = "\n"
LOOK_BYTES = 64 << 10  # may be sent before the program checks for room
RECORD_WEIGHT = 64  # bytes that a record counts besides its own
NO_BATCH: Any = iter(())

Run = tuple[int, int, "int | list[int]"]


def runs(origins: Sequence[tuple[int, int, int]], count: int, *, one_channel: bool) -> list[Run]:
    """Return the origins of `count` records as runs of `fabric_jobs.store.sent`; short when successive ones made one each."""
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
    """Records, by output, and rejections that are ready to be committed."""

    def __init__(self) -> None:
        self.rejects: list[list[Any]] = []  # channel, offset, reason, details
        self._outputs: dict[str, list[str]] = {}
        self._origins: dict[str, list[tuple[int, int, int]]] = {}  # channel, offset, records

    def __bool__(self) -> bool:
        return bool(self._outputs or self.rejects)

    def add(self, output: str, records: list[str], origins: list[tuple[int, int, int]]) -> None:
        """Add records and their origins."""
        self._outputs.setdefault(output, []).extend(records)
        self._origins.setdefault(output, []).extend(origins)

    def encoded(self, *, parents: bool, one_channel: bool) -> tuple[dict[str, Any], list[bytes]]:
        """Return the pile's entries in a commit's head, and the records of each output."""
        bodies = [f"{LINE.join(records)}{LINE}".encode() for records in self._outputs.values()]
        named = list(zip(self._outputs.items(), bodies, strict=True))
        head = {
            "outputs": [[name, len(records), len(body)] for (name, records), body in named],
            "parents": [
                runs(self._origins[name], len(records), one_channel=one_channel)
                for name, records in self._outputs.items()
                if parents
            ],
            "rejects": self.rejects,
        }
        return head, bodies


class Progress:
    """How far the program is. Used with the lock of the sender, except `sent`, `left` and `room`, which `send_message` uses."""

    def __init__(self, output: str, *, hold: bool) -> None:
        self.hold = hold  # acknowledge nothing before the program exits 0
        self.prologue = True  # nothing has been read yet
        # For each output, alternately: how many records of the batch were left, and a text.
        self.sent: list[Any] = []  # to `output`
        self.outputs: dict[str, list[Any]] = {output: self.sent}
        self.left: Callable[[], int] = NO_BATCH.__length_hint__  # how many of the batch are not handed out
        self.room = LOOK_BYTES  # bytes to send until the program must check
        self.since = 0  # bytes sent by the program that are not in a commit
        self.finished = Pile()  # may be committed
        self.acks: dict[int, int] = {}  # channel -> all records below are finished
        self.acked: dict[int, int] = {}  # the same, as far as the gateway knows
        self.batch: list[Any] | None = None  # being handed out
        self._channel = self._first = 0  # of the batch

    def begin(self, channel: int, first: int, batch: list[Any]) -> Iterator[Any]:
        """Return an iterator over records; asking for the next one finishes the one before."""
        self.seal()
        self.acks.setdefault(channel, first)
        self.acked.setdefault(channel, first)
        records: Any = iter(batch)
        self._channel, self._first, self.batch = channel, first, batch
        self.left = records.__length_hint__
        found: Iterator[Any] = records
        return found

    def end(self) -> None:
        """Mark all records of the batch as finished."""
        if self.batch is not None:
            self.acks[self._channel] = self._first + len(self.batch)
            self.release(-1)
            self.batch, self.left = None, NO_BATCH.__length_hint__

    def hand(self, left: int | None = None) -> tuple[int, int] | None:
        """Return channel and offset of the record in hand, or of the one in hand when `left` records were left."""
        count = 0 if self.batch is None else len(self.batch) - (self.left() if left is None else left)
        return (self._channel, self._first + count - 1) if count else None

    @property
    def record(self) -> Any:
        """The record in hand."""
        return None if self.batch is None else self.batch[-1 - self.left()]

    @property
    def new_acks(self) -> dict[int, int]:
        """The acknowledgements that the gateway does not know yet."""
        if self.hold or self.acks == self.acked:
            return {}
        return {channel: below for channel, below in self.acks.items() if below != self.acked[channel]}

    @property
    def has_in_hand(self) -> bool:
        """Whether the record in hand has outputs."""
        return any(self.outputs.values())

    def seal(self) -> int:
        """Work out what is finished; return how many records of the batch were left then."""
        left = self.left()
        hand = self.hand(left)
        if hand is not None:
            self.acks[hand[0]] = max(self.acks[hand[0]], hand[1])
        self.release(left)
        return left

    def release(self, left: int) -> None:
        """Allow to commit what was sent when more than `left` records were left; without a batch, everything."""
        for name, sent in self.outputs.items():
            if not sent or (self.batch is not None and sent[0] <= left):
                continue
            pairs = sent[:]
            marks, texts = pairs[::2], pairs[1::2]
            origins = self._origins(marks, left)
            del sent[: 2 * len(marks)]
            self.finished.add(name, texts[: len(marks)], origins)

    def drop_in_hand(self) -> None:
        """Drop the outputs of the record in hand."""
        self.seal()
        self.count()
        self.since = max(0, self.since - self._size_in_hand())
        for sent in self.outputs.values():
            sent.clear()

    def count(self) -> None:
        """Count the bytes sent since the last call."""
        self.since += LOOK_BYTES - self.room
        self.room = LOOK_BYTES

    def take(self) -> tuple[Pile, int]:
        """Return what may be committed and about how many bytes that is; the count keeps only what stays."""
        self.count()
        kept = self._size_in_hand()
        pile, size = self.finished, self.since - kept
        self.finished, self.since = Pile(), kept
        return pile, size

    def _size_in_hand(self) -> int:
        return sum(len(sent) // 2 * RECORD_WEIGHT + sum(map(len, sent[1::2])) for sent in self.outputs.values() if sent)

    def _origins(self, marks: list[int], left: int) -> list[tuple[int, int, int]]:
        """Return the origins for the marks; remove the marks of the record in hand, at the end."""
        if self.batch is None:
            return [(0, 0, len(marks))]  # also what a thread sends just before the first record is read
        while marks[-1] <= left:
            marks.pop()
        marks.sort(reverse=True)  # a thread may have been slow to append its mark
        size = len(self.batch)
        if marks[-1] <= left or marks[0] >= size:
            marks[:] = [min(max(mark, left + 1), size - 1) for mark in marks]
        last = self._first + size - 1
        if len(set(marks)) == len(marks):
            return [(self._channel, last - mark, 1) for mark in marks]
        return [(self._channel, last - mark, len(list(group))) for mark, group in groupby(marks)]

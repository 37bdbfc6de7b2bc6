"""Tracks what the program has read, sent and finished, and what the next commit contains.

The program's own thread does little for a record: it appends the text, and how many records of its batch are left, which says whose
it is. What is finished is found out when somebody wants to know.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

LINE = "\n"
LOOK_BYTES = 64 << 10  # are sent before the program looks whether there is room
RECORD_WEIGHT = 64  # bytes that a record counts beside its own
NO_BATCH: Any = iter(())

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
    """Records by output, and rejections, that are ready for a commit."""

    def __init__(self) -> None:
        self.rejects: list[list[Any]] = []  # channel, offset, reason, details
        self._outputs: dict[str, list[str]] = {}
        self._origins: dict[str, list[tuple[int, int, int]]] = {}  # channel, offset, records

    def __bool__(self) -> bool:
        return bool(self._outputs or self.rejects)

    def add(self, output: str, records: list[str], origins: list[tuple[int, int, int]]) -> None:
        """Take records, and what they were made from."""
        self._outputs.setdefault(output, []).extend(records)
        self._origins.setdefault(output, []).extend(origins)

    def encoded(self, *, parents: bool, one_channel: bool) -> tuple[dict[str, Any], list[bytes]]:
        """Return what the head of a commit says of it, and the records of each output."""
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
    """How far the program is. Used with the lock of the sender, but for what `send_message` does with `sent`, `left` and `room`."""

    def __init__(self, output: str, *, hold: bool) -> None:
        self.hold = hold  # nothing is acknowledged before the program exits 0
        self.prologue = True  # nothing has been read yet
        # For each output: how many records of the batch were left, a text, and so on in turn.
        self.sent: list[Any] = []  # to `output`
        self.outputs: dict[str, list[Any]] = {output: self.sent}
        self.left: Callable[[], int] = NO_BATCH.__length_hint__  # how many of the batch have not been handed out
        self.room = LOOK_BYTES  # how much may be sent until the program has to check
        self.since = 0  # bytes that have come, and are in no commit
        self.finished = Pile()  # may be committed
        self.acks: dict[int, int] = {}  # channel -> every record below is finished
        self.acked: dict[int, int] = {}  # the same, as the gateway knows it
        self.batch: list[Any] | None = None  # what is handed out
        self._channel = self._first = 0  # of the batch

    def begin(self, channel: int, first: int, batch: list[Any]) -> Iterator[Any]:
        """Return an iterator over records: asking it for the next finishes the one before."""
        self.seal()
        self.acks.setdefault(channel, first)
        self.acked.setdefault(channel, first)
        records: Any = iter(batch)
        self._channel, self._first, self.batch = channel, first, batch
        self.left = records.__length_hint__
        found: Iterator[Any] = records
        return found

    def end(self) -> None:
        """All records of the batch are finished."""
        if self.batch is not None:
            self.acks[self._channel] = self._first + len(self.batch)
            self.release(-1)
            self.batch, self.left = None, NO_BATCH.__length_hint__

    def hand(self, left: int | None = None) -> tuple[int, int] | None:
        """Return channel and offset of the record that is being handled, or was when `left` records of the batch were left."""
        count = 0 if self.batch is None else len(self.batch) - (self.left() if left is None else left)
        return (self._channel, self._first + count - 1) if count else None

    @property
    def record(self) -> Any:
        """That record."""
        return None if self.batch is None else self.batch[-1 - self.left()]

    @property
    def new_acks(self) -> dict[int, int]:
        """What the gateway does not know yet."""
        if self.hold or self.acks == self.acked:
            return {}
        return {channel: below for channel, below in self.acks.items() if below != self.acked[channel]}

    @property
    def has_in_hand(self) -> bool:
        """Whether something was sent that may not be committed yet."""
        return any(self.outputs.values())

    def seal(self) -> int:
        """Find out what is finished; return how many records of the batch were left then."""
        left = self.left()
        hand = self.hand(left)
        if hand is not None:
            self.acks[hand[0]] = max(self.acks[hand[0]], hand[1])
        self.release(left)
        return left

    def release(self, left: int) -> None:
        """What was sent when more of the batch than these were left may be committed; without a batch, all."""
        for name, sent in self.outputs.items():
            if not sent or (self.batch is not None and sent[0] <= left):
                continue
            pairs = sent[:]
            marks, texts = pairs[::2], pairs[1::2]
            origins = self._origins(marks, left)
            del sent[: 2 * len(marks)]
            self.finished.add(name, texts[: len(marks)], origins)

    def drop_in_hand(self) -> None:
        """What the record in hand caused is not sent."""
        self.seal()
        self.count()
        self.since = max(0, self.since - self._size_in_hand())
        for sent in self.outputs.values():
            sent.clear()

    def count(self) -> None:
        """Count what has been sent since this was called last."""
        self.since += LOOK_BYTES - self.room
        self.room = LOOK_BYTES

    def take(self) -> tuple[Pile, int]:
        """Return what may be committed, and how many bytes that is, about: the count of what stays is made good."""
        self.count()
        kept = self._size_in_hand()
        pile, size = self.finished, self.since - kept
        self.finished, self.since = Pile(), kept
        return pile, size

    def _size_in_hand(self) -> int:
        return sum(len(sent) // 2 * RECORD_WEIGHT + sum(map(len, sent[1::2])) for sent in self.outputs.values() if sent)

    def _origins(self, marks: list[int], left: int) -> list[tuple[int, int, int]]:
        """Return what the marks stand for; take away those at the end that are of a record in hand."""
        if self.batch is None:
            return [] if self.prologue else [(0, 0, len(marks))]
        while marks[-1] <= left:
            marks.pop()
        marks.sort(reverse=True)  # a thread may have been slow to append what it had looked up
        size = len(self.batch)
        if marks[-1] <= left or marks[0] >= size:
            marks[:] = [min(max(mark, left + 1), size - 1) for mark in marks]
        last = self._first + size - 1
        if len(set(marks)) == len(marks):
            return [(self._channel, last - mark, 1) for mark in marks]
        return [(self._channel, last - mark, len(list(group))) for mark, group in groupby(marks)]

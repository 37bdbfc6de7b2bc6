"""Commits what the program sends and acknowledges, while the program works on (docs/explanation/channels.md).

While one commit is in flight the next one gathers: one record when idle, thousands when busy. What a record of `messages`
caused is held until the record is finished, so that outputs and acknowledgement are one commit; if that takes longer than
HOLD_SECONDS or fills the window, the outputs go ahead, and the gateway knows whose they are.

Each commit says whether more may follow (`open`). A program that ends while its sender is open has lost records, so
`send` returns only when the gateway knows that the sender is open, or when the record is stored.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

from . import gateway

WINDOW_RECORDS = 1024
WINDOW_BYTES = 1 << 20
HOLD_SECONDS = 0.1  # outputs of an unfinished record wait this long for its end
LAST_SECONDS = 0.02  # at the end of a program: a thread that goes on sending does so within this time
ACK_SECONDS = 0.05  # acknowledgements without outputs wait this long for company

IDLE, COOLING, BUSY = range(3)

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


class Word:
    """What the gateway is told of a sender: whether more may be under way. Used with the lock of the sender."""

    def __init__(self) -> None:
        self.reading = False  # there may be input that is not finished: the program is not done though all is stored
        self.open = False  # more may follow the next commit
        self.told = False  # the gateway knows that more may follow
        self.closing = False  # the commit after which nothing is left closes the sender
        self.leaving: int | None = None  # the thread in which the program ends
        self._sent_one = False  # since it was closed: a program with a single record has no need to open
        self._threads: set[int] = set()  # those that have sent

    def must_wait(self, *, close: bool) -> bool:
        """Whether a record has to be stored before its program goes on, since the gateway does not know of more to come."""
        me = threading.get_ident()
        self._threads.add(me)
        if self.leaving is not None:
            if me != self.leaving:
                reason = "a thread sends while the program ends, and its records would be lost; join it before"
                gateway.give_up(reason, gateway.REFUSED)
            return True
        if close or (self.open and self.told):
            return close
        self.open, self._sent_one = self._sent_one, True
        return True

    def read(self) -> None:
        """The gateway knows that this program reads and sends."""
        self.reading = self.open = self.told = True

    def close(self) -> None:
        """The next commit says goodbye."""
        self.open = self.closing = self._sent_one = False

    def leave(self) -> bool:
        """The program ends in this thread; return whether another one that has sent still lives."""
        self.leaving, self.reading = threading.get_ident(), False
        others = self._threads - {self.leaving}
        return any(thread.ident in others for thread in threading.enumerate())


class Sender:
    """What is under way to the gateway. One thread sends records; a second one, of this class, commits them."""

    def __init__(self, output: str, *, hold: bool = False) -> None:
        """`output` is where records go that name none.

        `hold`: the gateway releases the records when the task exits 0, and the same moment acknowledges all input.
        """
        self.output = output
        self.hold = hold
        self.name = os.urandom(6).hex()  # tells the processes of an attempt apart
        self.prologue = True  # nothing has been read yet
        self.hand: tuple[int, int] | None = None  # channel and offset of the record that is being handled
        self.acks: dict[int, int] = {}  # channel -> every record below is finished
        self._acked: dict[int, int] = {}
        self._finished: dict[str, list[bytes]] = {}  # may be committed
        self._in_hand: dict[str, list[bytes]] = {}  # outputs of the record that is being handled
        self._origins: dict[str, list[tuple[int, int, int]]] = {}  # of what may be committed: channel, offset, records
        self._count = 0  # records that are not committed yet
        self._size = 0  # their bytes
        self._hand_since = 0.0
        self._release = False  # the outputs in hand are to go ahead
        self.word = Word()
        self._sequence = 0
        self._state = IDLE
        self._lock = threading.Lock()
        self._wake = threading.Condition(self._lock)  # for the committing thread
        self._room = threading.Condition(self._lock)  # for the sending thread
        self._line = threading.Lock()  # one commit at a time
        self._connection = gateway.connect()
        self._path = gateway.path("commit")
        self._thread = threading.Thread(target=self._run, name="fabric-skill-sender", daemon=True)
        self._thread.start()

    def starts_at(self, channel: int, offset: int) -> None:
        """The first record of a channel comes."""
        with self._lock:  # the other thread goes through both, and must not find one without the other
            self.acks.setdefault(channel, offset)
            self._acked.setdefault(channel, offset)

    def send(self, output: str, record: bytes, *, wait: bool = False) -> None:
        """Take a record; wait while too much is under way. `wait`: return when it is stored."""
        with self._lock:
            while self._count >= WINDOW_RECORDS or (self._count and self._size + len(record) > WINDOW_BYTES):
                self._release = self._release or bool(self._in_hand)
                self._kick()
                self._room.wait()
            must_wait = self.word.must_wait(close=wait)
            held = self.hand is not None
            if held and not self._in_hand:
                self._hand_since = time.monotonic()
            target = self._in_hand if held else self._finished
            target.setdefault(output, []).append(record)
            if not held and not self.prologue:
                self._origins.setdefault(output, []).append((0, 0, 1))
            self._count += 1
            self._size += len(record)
            if not must_wait and (self._state == IDLE or (self._state == COOLING and not held)):
                self._kick()
        if must_wait:
            self.flush(close=wait)  # in this thread: handing it to the other one takes longer than a commit

    def finish(self, channel: int, next_offset: int) -> None:
        """The record in hand is finished: its outputs and its acknowledgement may be committed."""
        if not self._in_hand:
            self.acks[channel] = next_offset
            if self._state == IDLE:
                with self._lock:
                    self._kick()
            return
        with self._lock:
            for output, records in self._in_hand.items():
                self._finished.setdefault(output, []).extend(records)
                self._origins.setdefault(output, []).append((channel, next_offset - 1, len(records)))
            self._in_hand = {}
            self.acks[channel] = next_offset
            if self._state != BUSY:
                self._kick()

    def flush(self, *, close: bool = False) -> None:
        """Return when all that was sent and finished is committed. `close`: the gateway knows then that nothing is under way."""
        while True:
            with self._lock:
                word = self.word
                word.closing = close and not word.reading
                if not self._count and (self.hold or self.acks == self._acked) and not (word.closing and word.open):
                    word.closing = False
                    return
                self._release = bool(self._in_hand)
            with self._line:
                self._commit()

    def drop_hand(self) -> None:
        """The record in hand failed: what it caused is not sent."""
        with self._lock:
            records = [record for part in self._in_hand.values() for record in part]
            self._count -= len(records)
            self._size -= sum(map(len, records))
            self._in_hand = {}

    def leave(self) -> None:
        """Commit what is left, say goodbye, and at which record the program ends. Whether it failed there, its exit code tells."""
        with self._lock:
            others = self.word.leave()
        if others:
            time.sleep(LAST_SECONDS)
        self.flush(close=True)
        if self.hand is not None:
            with self._line:
                gateway.ask(self._connection, "POST", self._path, self._head(left=self.hand))

    def _kick(self) -> None:
        self._state = BUSY
        self._wake.notify()

    def _run(self) -> None:
        while True:
            with self._lock:
                self._rest()
            with self._line:
                self._commit()

    def _rest(self) -> None:
        """Wait until there is something to commit; called and returns with the lock held."""
        while True:
            if self._finished or (self._release and self._in_hand):
                break
            pause = self._pause()
            if pause is None:
                self._state = IDLE
                # `finish` sets an acknowledgement without the lock, and only wakes an idle thread: look once more.
                if not self.hold and self.acks != self._acked:
                    continue
                self._wake.wait()
                continue
            self._state = COOLING
            if not self._wake.wait(pause):
                self._release = bool(self._in_hand) and time.monotonic() - self._hand_since >= HOLD_SECONDS
                if self._release or (not self.hold and self.acks != self._acked):
                    break
        self._state = BUSY

    def _pause(self) -> float | None:
        """Return how many seconds what there is may wait; None when there is nothing."""
        if self._in_hand:
            return max(0.001, self._hand_since + HOLD_SECONDS - time.monotonic())
        if not self.hold and self.acks != self._acked:
            return ACK_SECONDS
        return None

    def _commit(self) -> None:
        with self._lock:
            body, count, size, acks = self._take()
            is_open = self.word.open
        if body is None:
            return
        gateway.ask(self._connection, "POST", self._path, body)
        with self._lock:
            self.word.told = is_open
            self._acked.update(acks)
            self._count -= count
            self._size -= size
            self._room.notify()

    def _take(self) -> tuple[bytes | None, int, int, dict[int, int]]:
        """Return the body of the next commit with the count and the bytes of its records, and its acknowledgements."""
        acks = {} if self.hold else {key: value for key, value in self.acks.items() if value != self._acked[key]}
        outputs, origins, hand = self._finished, self._origins, None
        if outputs or acks:
            self._finished, self._origins = {}, {}
        elif self._release and self._in_hand:
            outputs, self._in_hand = self._in_hand, {}
            origins = {name: [(*(self.hand or (0, 0)), len(records))] for name, records in outputs.items()}
            hand = None if self.hold else self.hand
            self._release = False
        elif not (self.word.closing and self.word.open):
            return None, 0, 0, {}
        parts = [(name, len(records), b"".join(records)) for name, records in outputs.items()]
        if self.word.closing and not self._in_hand:
            self.word.close()
        head = self._head(
            acks=[[key, self._acked[key], value] for key, value in acks.items()],
            hand=hand,
            prologue=self.prologue,
            outputs=[[name, count, len(data)] for name, count, data in parts],
            parents=[]
            if self.prologue or self.hold
            else [runs(origins.get(name, ()), count, one_channel=len(self.acks) == 1) for name, count, _ in parts],
        )
        body = head + b"".join(data for _, _, data in parts)
        return body, sum(count for _, count, _ in parts), sum(len(data) for _, _, data in parts), acks

    def _head(self, **parts: Any) -> bytes:
        """Return the first line of the next commit."""
        self._sequence += 1
        head = {"sequence": self._sequence, "sender": self.name, "open": self.word.open, "hold": self.hold}
        return json.dumps({**head, "acks": [], "hand": None, "outputs": [], **parts}).encode() + b"\n"

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
from typing import Any

from . import gateway
from .pile import Pile, Window

WINDOW_RECORDS = 1024
WINDOW_BYTES = 1 << 20
HOLD_SECONDS = 0.1  # outputs of an unfinished record wait this long for its end
LAST_SECONDS = 0.02  # at the end of a program: a thread that goes on sending does so within this time
ACK_SECONDS = 0.05  # acknowledgements without outputs wait this long for company

IDLE, COOLING, BUSY = range(3)
NO_OUTPUT = "this record was rejected, so it has no output; send for it before reject(), and nothing after"
OWN = ()  # stands for the record of a task that has one message


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


class Line:
    """The way to the gateway: one commit after the other, each with the next number."""

    def __init__(self, name: str) -> None:
        self.lock = threading.Lock()  # held from the making of a commit to its answer
        self._name = name
        self._sequence = 0
        self._connection = gateway.connect()
        self._path = gateway.path("commit")

    def head(self, **parts: Any) -> bytes:
        """Return the first line of the next commit."""
        self._sequence += 1
        head = {"sequence": self._sequence, "sender": self._name, "acks": [], "hand": None, "outputs": []}
        return json.dumps({**head, **parts}).encode() + b"\n"

    def post(self, body: bytes) -> None:
        """Send a commit, and return when it is stored."""
        gateway.ask(self._connection, "POST", self._path, body)


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
        self.record: Any = None  # that record
        self.acks: dict[int, int] = {}  # channel -> every record below is finished
        self._acked: dict[int, int] = {}
        self._finished = Pile()  # may be committed
        self._in_hand = Pile()  # outputs of the record that is being handled
        self._rejected: tuple[int, ...] | None = None  # the record that was rejected last: it has no output
        self._window = Window(WINDOW_RECORDS, WINDOW_BYTES)  # what is not committed yet
        self._hand_since = 0.0
        self._release = False  # the outputs in hand are to go ahead
        self.word = Word()
        self._state = IDLE
        self._lock = threading.Lock()
        self._wake = threading.Condition(self._lock)  # for the committing thread
        self._room = threading.Condition(self._lock)  # for the sending thread
        self._line = Line(self.name)
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
            if self._rejected is not None and self._rejected == (self.hand or OWN):
                raise RuntimeError(NO_OUTPUT)
            self._make_room(len(record))
            must_wait = self.word.must_wait(close=wait)
            held = self.hand is not None
            if held and not self._in_hand:
                self._hand_since = time.monotonic()
            pile = self._in_hand if held else self._finished
            pile.add(output, record, None if held or self.prologue else (0, 0, 1))
            self._window.add(len(record))
            if not must_wait and (self._state == IDLE or (self._state == COOLING and not held)):
                self._kick()
        if must_wait:
            self.flush(close=wait)  # in this thread: handing it to the other one takes longer than a commit

    def reject(self, reason: str, details: Any) -> None:
        """The next commit makes the record in hand a dead letter; what it caused is dropped, as far as it is not committed."""
        whose = self.hand or OWN
        if self._rejected == whose:
            return  # the first reason holds
        entry = [*(whose or (None, None)), reason, details]
        size = len(json.dumps(entry))
        with self._lock:
            self._rejected = whose
            if not whose:  # all that is not committed was sent for it
                self._in_hand, self._finished = self._finished, Pile()
            self._drop_in_hand()
            self._make_room(size)
            self._finished.reject(entry, size)
            self._window.add(size)
            if whose and self._state == IDLE:
                self._kick()
        if not whose:
            self.word.must_wait(close=True)
            self.flush(close=True)

    def finish(self, channel: int, next_offset: int) -> None:
        """The record in hand is finished: its outputs and its acknowledgement may be committed."""
        if not self._in_hand:
            self.acks[channel] = next_offset
            if self._state == IDLE:
                with self._lock:
                    self._kick()
            return
        with self._lock:
            self._finished.extend(self._in_hand, channel, next_offset - 1)
            self._in_hand = Pile()
            self.acks[channel] = next_offset
            if self._state != BUSY:
                self._kick()

    def flush(self, *, close: bool = False) -> None:
        """Return when all that was sent and finished is committed. `close`: the gateway knows then that nothing is under way."""
        while True:
            with self._lock:
                word = self.word
                word.closing = close and not word.reading
                if not self._window and (self.hold or self.acks == self._acked) and not (word.closing and word.open):
                    word.closing = False
                    return
                self._release = bool(self._in_hand)
            with self._line.lock:
                self._commit()

    def leave(self, raised: str = "") -> None:
        """Commit what is left, without what the record in hand caused when the program `raised`; say where it ends, and goodbye."""
        with self._lock:
            if raised:
                self._drop_in_hand()
            others = self.word.leave()
        if others:
            time.sleep(LAST_SECONDS)
        self.flush(close=True)
        if self.hand is not None:
            with self._line.lock:
                self._line.post(self._line.head(open=self.word.open, hold=self.hold, left=self.hand, raised=raised))

    def _make_room(self, size: int) -> None:
        """Wait while too much is under way; called and returns with the lock held."""
        while self._window.is_full(size):
            self._release = self._release or bool(self._in_hand)
            self._kick()
            self._room.wait()

    def _drop_in_hand(self) -> None:
        self._window.remove(self._in_hand)
        self._in_hand = Pile()

    def _kick(self) -> None:
        self._state = BUSY
        self._wake.notify()

    def _run(self) -> None:
        while True:
            with self._lock:
                self._rest()
            with self._line.lock:
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
            body, pile, acks = self._take()
            is_open = self.word.open
        if body is None:
            return
        self._line.post(body)
        with self._lock:
            self.word.told = is_open
            self._acked.update(acks)
            self._window.remove(pile)
            self._room.notify()

    def _take(self) -> tuple[bytes | None, Pile, dict[int, int]]:
        """Return the body of the next commit, what it carries, and its acknowledgements."""
        acks = {} if self.hold else {key: value for key, value in self.acks.items() if value != self._acked[key]}
        pile, hand = self._finished, None
        if pile or acks:
            self._finished = Pile()
        elif self._release and self._in_hand:
            pile, self._in_hand = self._in_hand, Pile()
            pile.made_from(*(self.hand or (0, 0)))
            hand = None if self.hold else self.hand
            self._release = False
        elif not (self.word.closing and self.word.open):
            return None, pile, {}
        if self.word.closing and not self._in_hand:
            self.word.close()
        has_parents = not (self.prologue or self.hold)
        parts, records = pile.encoded(parents=has_parents, one_channel=len(self.acks) == 1)
        ranges = [[key, self._acked[key], value] for key, value in acks.items()]
        state = {"open": self.word.open, "hold": self.hold, "prologue": self.prologue}
        return self._line.head(**state, acks=ranges, hand=hand, **parts) + records, pile, acks

"""Commits outputs and acknowledgements while the program goes on (docs/explanation/channels.md).

While one commit is in flight, the next one gathers: one record when idle, thousands when busy. The outputs of a record from
`messages` are held until the record is finished, so that outputs and acknowledgement are one commit. If that takes longer
than HOLD_SECONDS or fills the window, the outputs go first, and the commit says which record they belong to.

The program's own thread appends records to its `Progress`. It does more only once in LOOK_BYTES, or when the committing thread
waits (`listens`: for records; `watches`: for the end of the record in hand).

Each commit says whether more may follow (`open`). A program that ends while its sender is open has lost records, so
`send` returns only when the gateway knows that the sender is open, or when the record is stored.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

from . import gateway
from .pile import RECORD_WEIGHT, Pile, Progress

WINDOW_BYTES = 4 << 20  # at most under way
GATHER_BYTES = 512 << 10  # make a commit worthwhile when one follows another
GATHER_SECONDS = 0.02  # longest wait for them, and no longer than the last commit took
HOLD_SECONDS = 0.1  # longest wait of outputs for the end of their record
LAST_SECONDS = 0.02  # at the program's end, for other threads that still send
FLUSH_COMMITS = 3  # for what is finished, for what is in hand, to close
ACK_SECONDS = 0.05  # wait of acknowledgements for outputs to go with

IDLE, COOLING, BUSY = range(3)
NO_OUTPUT = "this record was rejected, so nothing can be sent for it"
OWN = ()  # stands for the record of a message task


class Pace:
    """Decides when the committing thread goes on. Used with the lock of the sender."""

    def __init__(self, work: Progress, lock: threading.Lock) -> None:
        self.listens = False  # call `look` after each record that is sent
        self.watches = False  # call `look` after each record that is finished
        self.release = False  # commit the outputs in hand before their record is finished
        self.took = 0.0  # seconds of the last commit
        self._work = work
        self._wake = threading.Condition(lock)
        self._state = BUSY
        self._gathers = False
        self._seen: tuple[Any, float] = (None, 0.0)  # a record in hand with outputs, and since when

    def begin(self) -> None:
        """Note that the program gets a batch."""
        self.watches = self._state == IDLE and not self._work.hold

    def look(self) -> None:
        """Wake the committing thread if what it waits for is there."""
        if self._gathers:
            if self._work.since >= GATHER_BYTES:
                self.kick()
        elif self._state != BUSY:
            self._work.seal()
            is_news = self._work.has_in_hand or self._work.new_acks
            if self._work.finished or (self._state == IDLE and is_news):
                self.kick()
            elif is_news and self._work.has_in_hand:
                self.listens, self.watches = False, True

    def kick(self) -> None:
        """Wake the committing thread."""
        self._state, self.listens, self.watches = BUSY, False, False
        self._wake.notify()

    def gather(self) -> None:
        """Wait, between two successive commits, until the next one is worthwhile."""
        self._work.seal()
        if self._work.finished and not self.release and self._work.since < GATHER_BYTES:
            self._gathers = True
            self._wake.wait(min(self.took, GATHER_SECONDS))
            self._gathers = False

    def rest(self) -> None:
        """Wait until there is something to commit."""
        while True:
            self._state, self.listens, self.watches = IDLE, True, True  # before the check, to miss nothing
            self._work.seal()
            has_outputs = self._work.has_in_hand
            if self._work.finished or (self.release and has_outputs):
                break
            pause = self._pause(has_outputs)
            if pause is None:
                self.watches = self._work.batch is not None and not self._work.hold
                self._wake.wait()
                continue
            self._state, self.listens, self.watches = COOLING, not has_outputs, has_outputs
            if not self._wake.wait(pause):
                self.release = has_outputs and time.monotonic() - self._seen[1] >= HOLD_SECONDS
                if self.release or self._work.new_acks:
                    break
        self._state, self.listens, self.watches = BUSY, False, False

    def _pause(self, has_outputs: bool) -> float | None:
        """Return how many seconds the next commit may wait; None when there is nothing to commit."""
        if has_outputs:
            now = time.monotonic()
            if self._seen[0] != self._work.hand():
                self._seen = (self._work.hand(), now)
            return max(0.001, self._seen[1] + HOLD_SECONDS - now)
        return ACK_SECONDS if self._work.new_acks else None


class Shared:
    """Puts records into a file that the gateway sees, once it proposes that to a busy sender. For one thread at a time."""

    def __init__(self) -> None:
        self._asks = bool(os.environ.get("FABRIC_JOBS_RECORDS"))
        self._own: Any = None

    def put(self, outputs: list[list[Any]], bodies: list[bytes]) -> tuple[bytes, dict[str, Any]]:
        """Return the bodies to send, and what the commit says of those in the file."""
        if self._own is None:
            return b"".join(bodies), {"files": True} if self._asks else {}
        sizes = [output[:3] for output in outputs]
        try:
            found: tuple[bytes, dict[str, Any]] = self._own.put(outputs, bodies)
        except OSError as error:
            print(f"fabric_skill: {error}; records go to the gateway from now on.", file=sys.stderr, flush=True)
            self._own.close()
            self._own, outputs[:] = None, sizes
            return b"".join(bodies), {}
        return found

    def told(self, answer: bytes) -> None:
        """Accept the gateway's proposal; it makes at most one."""
        if not self._asks or len(answer) < 3:
            return
        self._asks = False
        from . import shared  # late: few programs send that much

        wanted = json.loads(answer).get("files")
        try:
            self._own = shared.OwnFile(wanted["directory"], wanted["bytes"])
        except (OSError, TypeError, KeyError):
            return  # this program does not see that directory


class Sender:
    """Sends records to the gateway: the program adds them, and a thread of this class commits them."""

    def __init__(self, output: str, *, hold: bool = False) -> None:
        """`output` takes the records that name none.

        `hold`: the gateway releases the records, and acknowledges all input, when the task exits 0.
        """
        self.output = output
        self.name = os.urandom(6).hex()  # tells the processes of an attempt apart
        self.word = gateway.Word()
        self.work = Progress(output, hold=hold)
        self.asks = True  # each record must go through `send`
        self._rejected: tuple[int, ...] | None = None  # the last rejected record, which has no output
        self._in_flight = 0  # bytes of the unanswered commit
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)  # for the threads that wait to send
        self.pace = Pace(self.work, self._lock)
        self._line = gateway.Line(self.name)
        self._shared = Shared()
        self._thread = threading.Thread(target=self._run, name="fabric-skill-sender", daemon=True)
        self._thread.start()

    def read(self) -> None:
        """Note that the gateway knows that this program reads and sends."""
        with self._lock:
            self.word.read()
            self._note_asks()

    def begin(self, channel: int, first: int, batch: list[Any]) -> Iterator[Any]:
        """Return an iterator over records; asking for the next one finishes the one before."""
        with self._lock:
            self.pace.begin()
            return self.work.begin(channel, first, batch)

    def end(self) -> None:
        """Mark all records of the batch as finished."""
        with self._lock:
            self.work.end()
            self.pace.look()

    def send(self, output: str, record: str, *, wait: bool = False) -> None:
        """Add a record; wait while too much is under way. `wait`: return when it is stored."""
        with self._lock:
            self.word.sends()
            if self._rejected is not None:
                if self._rejected == (self.work.hand() or OWN):
                    raise RuntimeError(NO_OUTPUT)
                self._rejected = None
            size = len(record) + RECORD_WEIGHT
            self._make_room(size)
            must_wait = self.word.must_wait(close=wait)
            self.work.outputs.setdefault(output, []).extend((self.work.left(), record))
            self.work.room -= size
            self._note_asks()
            if not must_wait:
                self.pace.look()
        if must_wait:
            self.flush(close=wait)  # in this thread: handing it over takes longer than a commit

    def look(self) -> None:
        """Wake the waiting threads, and wait while too much is in flight."""
        with self._lock:
            if self.work.room < 0:
                self.word.sends()
            self._make_room(0)
            self.pace.look()

    def reject(self, reason: str, details: Any) -> None:
        """Make the record in hand a dead letter with the next commit; drop its uncommitted outputs."""
        whose = self.work.hand() or OWN
        if self._rejected == whose:
            return  # the first reason counts
        entry = [*(whose or (None, None)), reason, details]
        size = len(json.dumps(entry))
        with self._lock:
            self._rejected, self.asks = whose, True
            self.work.drop_in_hand()
            if not whose:  # everything uncommitted was sent for it
                self.work.finished = Pile()
            self._make_room(size)
            self.work.finished.rejects.append(entry)
            self.work.since += size
            if whose:
                self.pace.look()
        if not whose:
            self.word.must_wait(close=True)
            self.flush(close=True)

    def flush(self, *, close: bool = False) -> None:
        """Return when all that was sent and finished is committed. `close`: also close the sender.

        It does not wait for what other threads send meanwhile.
        """
        word = self.word
        for _ in range(FLUSH_COMMITS):
            with self._lock:
                self.work.seal()
                word.closing = close and not word.reading
                is_under_way = self.work.finished or self.work.has_in_hand or self._in_flight or self.work.new_acks
                if not is_under_way and not (word.closing and word.open):
                    break
                self.pace.release = self.work.has_in_hand
            with self._line.lock:
                self._commit()
        word.closing = False

    def leave(self, raised: str = "") -> None:
        """Commit what is left, tell where the program ends, and close. After an exception, drop the record in hand's outputs."""
        with self._lock:
            if raised:
                self.work.drop_in_hand()
            others = self.word.leave()
            self.asks = True
        if others:
            time.sleep(LAST_SECONDS)
        self.flush(close=True)
        if self.work.hand() is not None:
            with self._line.lock:
                state = {"open": self.word.open, "hold": self.work.hold}
                self._line.post(self._line.head(**state, left=self.work.hand(), raised=raised))
        if self.work.finished or self.work.has_in_hand:
            gateway.give_up(gateway.TOO_LATE, gateway.REFUSED)

    # From here on, methods are called with the lock held unless they say otherwise.

    def _note_asks(self) -> None:
        self.asks = self._rejected is not None or not self.word.is_known

    def _make_room(self, size: int) -> None:
        """Wait while too much is under way; when nothing is, even a large record need not wait."""
        while True:
            self.work.count()
            if not (self._in_flight or self.work.finished or self.work.has_in_hand):
                self.work.since = 0  # the counted bytes were dropped
            under_way = self.work.since + self._in_flight
            if not under_way or under_way + size <= WINDOW_BYTES:
                return
            self.pace.release = self.pace.release or self.work.has_in_hand
            self.pace.kick()
            self._room.wait()

    def _run(self) -> None:
        """Commit in a thread of its own; called without the lock."""
        while True:
            with self._lock:
                self.pace.gather()
                self.pace.rest()
            with self._line.lock:
                self._commit()

    def _commit(self) -> None:
        """Post one commit, if there is anything to commit; called without the lock."""
        with self._lock:
            found = self._take()
            is_open = self.word.open
        if found is None:
            return
        head, pile, acks = found
        has_parents = not (self.work.prologue or self.work.hold)
        parts, bodies = pile.encoded(parents=has_parents, one_channel=len(self.work.acks) == 1)
        started = time.monotonic()
        rest, said = self._shared.put(parts["outputs"], bodies)
        self._shared.told(self._line.post(self._line.head(**head, **parts, **said) + rest))
        with self._lock:
            self.pace.took = time.monotonic() - started
            self.word.told = is_open
            self.work.acked.update(acks)
            self._in_flight = 0
            self._note_asks()
            self._room.notify_all()

    def _take(self) -> tuple[dict[str, Any], Pile, dict[int, int]] | None:
        """Return the head, the pile and the acknowledgements of the next commit."""
        work, hand = self.work, None
        left = work.seal()
        acks = work.new_acks
        if not (work.finished or acks):
            if self.pace.release and work.has_in_hand:
                hand = None if self.work.hold else work.hand(left)
                work.release(left - 1)
            elif not (self.word.closing and self.word.open):
                return None
        pile, size = work.take()
        self._in_flight = max(1, size)
        if not work.has_in_hand:
            self.pace.release = False
            if self.word.closing:
                self.word.close()
                self.asks = True
        ranges = [[key, work.acked[key], value] for key, value in acks.items()]
        state = {"open": self.word.open, "hold": self.work.hold, "prologue": work.prologue}
        return {**state, "acks": ranges, "hand": hand}, pile, acks

"""The one call between a worker and its gateway: reports go, and batches come (docs/explanation/batches.md)."""

from __future__ import annotations

import json
import math
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from ..fabric_skill import gateway
else:
    from fabric_skill import gateway

REPORT_BYTES = 1 << 20  # outputs that may wait for the next call
LINGER_SECONDS = 0.1  # a report waits so long for the next call
QUICK_SECONDS = 0.05  # batches that take this long together may be held
HELD, MOST_HELD = 16, 64  # batches that may be held: by one that handles one at a time, and by any
SHORT_SECONDS, LONG_SECONDS = 0.05, 1.0  # between two calls while batches are in hand, at first and at last


class Batch(NamedTuple):
    """A batch to handle."""

    channel: int
    first: int  # the offset of its first item
    size: int  # items
    attempt: int  # of this batch, from 1
    batch_id: str  # the same in all attempts
    body: bytes  # a JSON array

    @property
    def key(self) -> tuple[int, int]:
        """What it is called in a call."""
        return (self.channel, self.first)


class Answer(NamedTuple):
    """What the gateway says; all empty: there is nothing yet, so ask again."""

    batches: tuple[Batch, ...] = ()
    complete: dict[str, Any] | None = None  # the counts: all batches are done, and this worker calls on-job-complete
    end: bool = False  # there will be nothing more
    lease: float = 0.0  # seconds for which batches are this worker's unless it calls again; 0: as long as it runs


class Pace:
    """How many batches to ask for: more than can be handled at a time only if they are quick."""

    def __init__(self, concurrency: int = 1) -> None:
        self._concurrency = concurrency
        self._seconds = 0.0  # of a batch; 0: unknown

    def note(self, seconds: float) -> None:
        """Note how long a batch took. A slow one counts at once, a quick one little by little."""
        self._seconds = max(seconds, 0.8 * self._seconds + 0.2 * seconds, 1e-6)

    @property
    def wanted(self) -> int:
        """How many batches to hold."""
        if not self._seconds:
            return self._concurrency
        most = min(max(HELD, 8 * self._concurrency), MOST_HELD)
        return max(self._concurrency, min(int(self._concurrency * QUICK_SECONDS / self._seconds), most))

    @property
    def room(self) -> int:
        """How many more to hold at least when asking: a call for each batch would cost more than a quick batch."""
        return max(1, (self.wanted - self._concurrency) // 2)


class Exchange:
    """The worker's side. One thread takes; any thread reports. There is one call at a time.

    A report goes with the next call. A call is repeated while the gateway is away. The process ends when the attempt is over,
    or the gateway is away too long.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()  # for all that follows
        self._held: dict[tuple[int, int], Batch] = {}  # until the answer to their report
        self._handled: set[tuple[int, int]] = set()  # of these
        self._done: list[tuple[list[Any], bytes]] = []
        self._failed: list[list[Any]] = []
        self._since = 0.0  # when the oldest report began to wait; 0: none waits
        self._size = 0  # bytes of outputs that wait
        self._arrived: list[Batch] = []  # with the answer to a report
        self._completed: dict[str, Any] | None = None
        self._pause = SHORT_SECONDS
        self._lease = 0.0
        self._called = 0.0  # when the last call began
        self._calling = threading.Lock()
        self._connection = gateway.connect()
        self._reporter: threading.Thread | None = None

    @property
    def in_hand(self) -> int:
        """How many batches have come and are not handled yet."""
        return len(self._held) - len(self._handled)

    def take(self, hold: int = 1) -> Answer:
        """Return batches once there are any, so that at most `hold` are in hand.

        The answer is empty when nothing came for about 20 seconds, or, while some are in hand, for a second, or when one of them
        is handled meanwhile. The first call says that this worker is ready.
        """
        with self._changed:
            self._changed.wait_for(lambda: self.in_hand < hold)
            want = hold - self.in_hand
            arrived, self._arrived = self._arrived, []
        if arrived:
            return Answer(tuple(arrived))
        answer = self._call(want, self._completed)
        self._completed = None
        if answer._replace(lease=0.0) != Answer():
            self._pause = SHORT_SECONDS
            return answer
        with self._changed:
            handled = len(self._handled)
            if self.in_hand:  # the gateway answers at once, so that this worker can report
                self._changed.wait_for(lambda: len(self._handled) > handled, self._pause)
                self._pause = min(2 * self._pause, LONG_SECONDS)
        return answer

    def succeeded(self, batch: Batch, seconds: float, outputs: tuple[str, ...] = ()) -> None:
        """Report that a batch was handled, and how long it took; `outputs` are records as JSON without line breaks."""
        body = "".join([f"{record}\n" for record in outputs]).encode()
        with self._changed:
            is_full = self._size + len(body) > REPORT_BYTES and self._size > 0
        if is_full:
            self.report()
        with self._changed:
            self._done.append(([*batch.key, seconds, len(outputs)], body))
            self._size += len(body)
            self._note(batch)

    def failed(self, batch: Batch, error: str, seconds: float) -> None:
        """Report that a batch could not be handled."""
        with self._changed:
            self._failed.append([*batch.key, error, seconds])
            self._note(batch)

    def completed(self, status: int, error: str = "") -> None:
        """Report with the next `take` that on-job-complete was called; `status` is that of its answer."""
        self._completed = {"status": status, "error": error}

    def report(self) -> None:
        """Send the reports that wait. Returns when they are stored."""
        answer = self._call(0, None)
        with self._changed:
            self._arrived += answer.batches

    def report_late(self) -> None:
        """Send reports also while no call is made, from a thread. Idempotent. For a worker that handles batches in this one."""
        if self._reporter is None:
            self._reporter = threading.Thread(target=self._report_in_time, name="reports", daemon=True)
            self._reporter.start()

    def _report_in_time(self) -> None:
        while True:
            with self._changed:
                pause = self._until_report() - time.monotonic()
                if pause > 0:
                    self._changed.wait(min(pause, threading.TIMEOUT_MAX))
                    continue
            self.report()

    def _until_report(self) -> float:
        """Return when to report, by the monotonic clock: soon after a batch, and before a lease runs out."""
        late = self._since + LINGER_SECONDS if self._since else math.inf
        return min(late, self._called + self._lease / 3 if self._lease and self._held else math.inf)

    def _note(self, batch: Batch) -> None:
        self._handled.add(batch.key)
        self._since = self._since or time.monotonic()
        self._changed.notify_all()

    def _call(self, want: int, completed: dict[str, Any] | None) -> Answer:
        with self._calling:
            with self._changed:
                done, self._done = self._done, []
                failed, self._failed = self._failed, []
                self._since, self._size, self._called = 0.0, 0, time.monotonic()
                told = {(said[0], said[1]) for said in [*(head for head, _ in done), *failed]}
                held = [list(key) for key in self._held if key not in told]
            heads = [head for head, _ in done]
            asked = {"ready": True, "want": want, "held": held, "done": heads, "failed": failed, "completed": completed}
            body = b"\n".join((json.dumps(asked).encode(), b"".join(output for _, output in done)))
            answer = gateway.ask(self._connection, "POST", gateway.path("batches"), body)
            found = Answer() if answer.status == 204 else read(answer.body)
            with self._changed:
                self._handled -= told
                for key in told:
                    del self._held[key]
                self._held.update((batch.key, batch) for batch in found.batches)
                self._lease = found.lease or self._lease
                self._changed.notify_all()
        if self._lease and found.batches:
            self.report_late()
        return found


def read(body: bytes) -> Answer:
    """Return the gateway's answer: a line about it, and the batches one after the other."""
    line, _, rest = body.partition(b"\n")
    head = json.loads(line)
    batches, at = [], 0
    for channel, first, count, attempt, name, size in head["batches"]:
        batches.append(Batch(channel, first, count, attempt, name, rest[at : at + size].rstrip(b"\n")))
        at += size
    return Answer(tuple(batches), head["complete"], bool(head["end"]), head.get("lease") or 0.0)

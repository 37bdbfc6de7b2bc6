"""Sends dead batches to the queues that their jobs name, until each is there (docs/howto/dead-batches.md)."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from fabric_jobs.errors import FabricJobsError, PlaceUnavailable
from fabric_jobs.store import Effects, Store, Tx, queue_letters
from fabric_jobs.store.queue_letters import JobQueue, QueueLetter

if TYPE_CHECKING:
    from fabric_jobs.sqs import QueueMessage, Queues

TRIES = 12  # in a row
LONGEST_PAUSE_SECONDS = 600.0  # between two tries; the first is 1 s, and each is twice the one before
AGAIN_SECONDS = 5.0  # after the disk failed
CLOSE_SECONDS = 2.0  # for a call that is under way when the owner ends
QUEUES = 8  # looked at together
TOGETHER = 10  # batches of one queue, in one call

log = logging.getLogger(__name__)


class Outbox:
    """One thread, which begins with the first dead batch for a queue."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        """`clock` returns the time of day, in seconds since 1970."""
        self._store = store
        self._clock = clock
        self._queues: Queues | None = None
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._closing = False
        self._thread: threading.Thread | None = None
        store.listen(self._committed)

    def start(self) -> None:
        """Send what an earlier owner has left."""
        if queue_letters.some_open(self._store.read):
            self.wake()

    def wake(self) -> None:
        """Look at the queues now."""
        with self._lock:
            self._event.set()
            if self._thread is None and not self._closing:
                self._thread = threading.Thread(target=self._run, name="queue-letters", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """End the thread. What was cut off is sent again by the next owner."""
        with self._lock:
            self._closing = True
            self._event.set()
        if self._thread is not None:
            self._thread.join(CLOSE_SECONDS)

    def _committed(self, effects: Effects) -> None:
        if effects.letters:
            self.wake()

    def _run(self) -> None:
        while not self._closing:
            self._event.clear()
            try:
                seconds = self._look()
            except PlaceUnavailable as error:
                log.warning("dead batches have to wait for their queues: %s", error.message)
                seconds = AGAIN_SECONDS
            self._event.wait(seconds)

    def _look(self) -> float | None:
        """Send what is due; return the seconds until the next look, None if nothing waits for its time."""
        now = self._clock()
        for queue in queue_letters.due(self._store.read, now, QUEUES):
            found = queue_letters.letters(self._store.read, queue, TOGETHER)
            if self._closing:
                return None
            self._send(queue, found)
        if queue_letters.due(self._store.read, self._clock(), 1):
            return 0.0
        next_at = queue_letters.next_at(self._store.read, now)
        return None if next_at is None else max(0.0, next_at - self._clock())

    def _send(self, queue: JobQueue, found: list[QueueLetter]) -> None:
        """Send letters in one call, as many as it takes, and note what came of them."""
        from fabric_jobs import queue_arns, sqs  # late: few owners send anything

        ids = {letter.batch_id: letter.letter_id for letter in found}
        group = next(sqs.calls_of([_message(queue, letter) for letter in found]))
        self._queues = self._queues or sqs.Queues()
        try:
            answer = self._queues.send(queue_arns.parsed(queue.arn), group)
        except FabricJobsError as error:
            self._failed(queue, error.message)
            return
        for reason in answer.refused.values():
            log.warning("%s does not take a dead batch of job %s: %s", queue.arn, queue.activation_id, reason)
        sent = [ids[one.message_id] for one in group if not any(one.message_id in kind for kind in answer)]
        refused = {ids[message_id]: reason for message_id, reason in answer.refused.items()}
        if sent or refused:
            self._write(lambda tx: queue_letters.done(tx, queue, sent, refused))
        if answer.failed:
            self._failed(queue, next(iter(answer.failed.values())))

    def _failed(self, queue: JobQueue, failure: str) -> None:
        given_up = queue.tries + 1 >= TRIES
        log.warning("dead batches of job %s, try %d of %d: %s", queue.activation_id, queue.tries + 1, TRIES, failure)
        next_at = self._clock() + min(LONGEST_PAUSE_SECONDS, 2.0**queue.tries)
        self._write(lambda tx: queue_letters.failed(tx, queue, failure, next_at, given_up=given_up))

    def _write(self, operation: Callable[[Tx], None]) -> None:
        with suppress(RuntimeError):  # the store is closed: the next owner sends it again
            self._store.write(operation).result()


def _message(queue: JobQueue, letter: QueueLetter) -> QueueMessage:
    from fabric_jobs.sqs import QueueMessage

    attributes = {
        "job_id": queue.activation_id,
        "api_name": queue.api_name,
        "batch_id": letter.batch_id,
        "attempts": str(letter.attempts),
        "error": letter.error,
    }
    return QueueMessage(letter.batch_id, letter.body.decode(), attributes)

"""Dead batches on their way to the queues that their jobs name (docs/howto/dead-batches.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from fabric_jobs.store import channels
from fabric_jobs.store.sql import Row, Sql
from fabric_jobs.store.writer import Tx

LARGEST_BYTES = 1 << 20  # of a message; no queue takes a longer one
READ_BYTES = 1 << 20  # of a batch, at a time


class DeadBatch(NamedTuple):
    """A batch that used up its attempts."""

    activation_id: str
    channel_id: int
    first: int
    below: int
    batch_id: str
    attempts: int
    error: str  # of the last one


class JobQueue(NamedTuple):
    """The queue that a job names, and what has become of its dead batches."""

    activation_id: str
    api_name: str
    arn: str
    waiting: int  # batches to be sent
    sent: int
    refused: int  # that the queue does not take
    tries: int  # in a row that failed
    next_at: float  # seconds since 1970; not before
    failure: str  # of the last try, or why the last batch was refused
    given_up: int

    @classmethod
    def from_row(cls, row: Row) -> JobQueue:
        """Build it from a row of `job_queues`."""
        return cls(*(row[key] for key in cls._fields))


class QueueLetter(NamedTuple):
    """One batch to be sent."""

    letter_id: int
    batch_id: str
    attempts: int
    error: str
    body: bytes  # a JSON array

    @classmethod
    def from_row(cls, row: Row) -> QueueLetter:
        """Build it from a row of `queue_letters`."""
        return cls(*(row[key] for key in cls._fields))


def expect(tx: Tx, dead: DeadBatch) -> None:
    """Keep a dead batch for the queue of its job, if it names one. Call it before the batch's records are finished."""
    if not tx.run("expect_letter", activation_id=dead.activation_id):
        return
    body = _body(tx, dead)
    if body is None:
        failure = f"batch {dead.batch_id} is longer than {LARGEST_BYTES:,} bytes, which no queue takes"
        tx.run("count_letters", activation_id=dead.activation_id, sent=0, refused=1, failure=failure)
        return
    told = {"batch_id": dead.batch_id, "attempts": dead.attempts, "error": dead.error}
    tx.run("insert_letter", activation_id=dead.activation_id, body=body, **told)
    tx.effects.letters = True


def due(sql: Sql, now: float, limit: int) -> list[JobQueue]:
    """Return queues that batches wait for and whose time has come."""
    return [JobQueue.from_row(row) for row in sql.all("queues_due", now=now, limit=limit)]


def next_at(sql: Sql, now: float) -> float | None:
    """Return when the next queue will be due, in seconds since 1970; None if none will."""
    row = sql.one("next_queue", now=now)
    return None if row is None else row["next_at"]


def some_open(sql: Sql) -> bool:
    """Return whether batches wait to be sent."""
    return sql.one("open_queue") is not None


def of_job(sql: Sql, activation_id: str) -> JobQueue | None:
    """Return the queue of a job; None when it names none, or no batch is dead."""
    row = sql.one("queue_of_job", activation_id=activation_id)
    return None if row is None else JobQueue.from_row(row)


def letters(sql: Sql, queue: JobQueue, limit: int) -> list[QueueLetter]:
    """Return the next batches to send to a queue."""
    rows = sql.all("letters_of_queue", activation_id=queue.activation_id, limit=limit)
    return [QueueLetter.from_row(row) for row in rows]


def done(tx: Tx, queue: JobQueue, sent: Sequence[int], refused: Mapping[int, str]) -> None:
    """Forget batches that were sent or, with the reason, refused for good; both by `letter_id`."""
    gone = sum(tx.run("delete_letter", letter_id=letter_id) for letter_id in sent)
    lost = [reason for letter_id, reason in refused.items() if tx.run("delete_letter", letter_id=letter_id)]
    counts = {"sent": gone, "refused": len(lost), "failure": lost[-1] if lost else ""}
    tx.run("count_letters", activation_id=queue.activation_id, **counts)
    tx.effects.activations.add(queue.activation_id)


def failed(tx: Tx, queue: JobQueue, failure: str, next_at: float, *, given_up: bool) -> None:
    """Note a try at which nothing was sent."""
    values = {"failure": failure, "next_at": next_at, "given_up": int(given_up)}
    tx.run("queue_failed", activation_id=queue.activation_id, **values)


def retry(tx: Tx, activation_id: str) -> bool:
    """Try again at once, with all tries; return whether batches wait."""
    tx.effects.letters = True
    return bool(tx.run("retry_queue", activation_id=activation_id))


def _body(tx: Tx, dead: DeadBatch) -> bytes | None:
    """Return the records of a batch as a JSON array; None when it is too long."""
    lines, size, offset = list[bytes](), 1, dead.first
    while offset < dead.below:
        segment = channels.read(tx, dead.channel_id, offset, max_bytes=READ_BYTES)
        assert segment is not None, "its records are not finished"
        found = segment.bytes.split(b"\n")[: min(segment.count, dead.below - offset)]
        size += sum(len(line) + 1 for line in found)
        if size > LARGEST_BYTES:
            return None
        lines += found
        offset += len(found)
    return b"[" + b",".join(lines) + b"]"

"""Batches of a channel's records for workers: handed out, reported, lost with their worker (docs/explanation/batches.md).

A batch is a lease. Rows exist only for batches that failed or whose worker died; the others are counted.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from fabric_jobs.jobs import BatchCounts, BatchRow
from fabric_jobs.records import Channel, Lease, Task
from fabric_jobs.store import commits, dead_letters, leases, queue_letters, tasks
from fabric_jobs.store.dead_letters import NewDeadLetter
from fabric_jobs.store.queue_letters import DeadBatch
from fabric_jobs.store.sent import Sent, each_of
from fabric_jobs.store.sql import Sql
from fabric_jobs.store.writer import Tx

LOST_LIMIT = 3  # workers that may die with a batch
BACKOFF_SECONDS = 1.0  # before the second attempt; twice as long before each further one
MAX_BACKOFF_SECONDS = 60.0
NAMESPACE = uuid.UUID("8f1d2a52-5c0f-4b6e-9d0a-3f6c2f7b9e11")  # of the ids of batches


class Rules(NamedTuple):
    """How the batches of a node are handled."""

    size: int  # records
    receive_count: int  # attempts that may fail
    on_error: str  # of a dead batch's letters: continue | complete
    whole: bool = False  # an incomplete batch waits for the end of the input, however long that takes


class Done(NamedTuple):
    """A batch that a worker has handled."""

    channel_id: int
    first: int
    seconds: float
    sent: Sent | None = None  # what came of it


class Failed(NamedTuple):
    """A batch that a worker could not handle."""

    channel_id: int
    first: int
    error: str
    seconds: float


class Report(NamedTuple):
    """What a worker says of its batches."""

    ready: bool = True
    done: tuple[Done, ...] = ()
    failed: tuple[Failed, ...] = ()
    completed: str = ""  # what came of on-job-complete


class Handed(NamedTuple):
    """A batch in the hands of a worker."""

    channel_id: int
    first: int
    below: int
    attempt: int  # of this batch, from 1


def batch_id(activation_id: str, channel_id: int, first: int) -> str:
    """Return the id of a batch, which is the same for all attempts."""
    return str(uuid.uuid5(NAMESPACE, f"{activation_id}/{channel_id}/{first}"))


def report(tx: Tx, task_id: int, attempt: int, said: Report, rules: Rules) -> Task:
    """Note what a worker says; return its task. What it does not hold any more was reported before, and counts once.

    Raises StaleAttempt when the attempt is not the current one.
    """
    commits.current_attempt(tx, task_id, attempt)
    task = tasks.find(tx, task_id)
    assert task is not None, "its attempt is the current one"
    if said.ready:
        tx.run("worker_ready", task_id=task_id, attempt=attempt, ready_at=time.time())
    mine = _held(tx, task_id)
    counts, finished = BatchCounts(), list[Lease]()
    for done in said.done:
        lease = mine.pop((done.channel_id, done.first), None)
        if lease is not None:
            _publish(tx, task, lease, done)
            finished.append(lease)
            counts = counts._replace(succeeded=counts.succeeded + 1, seconds=counts.seconds + done.seconds)
    for failed in said.failed:
        lease = mine.pop((failed.channel_id, failed.first), None)
        if lease is not None:
            is_dead = _fail(tx, task, lease, failed, rules, is_lost=False)
            counts = counts._replace(failed=counts.failed + 1, dead=counts.dead + is_dead)
    leases.finish_whole(tx, finished)
    _count(tx, task, counts)
    if said.completed:
        place = {"activation_id": task.activation_id, "node": task.node, "task_id": task_id}
        tx.run("note_completion", completed=said.completed, **place)
    return task


def take(tx: Tx, task: Task, channel: Channel, rules: Rules, want: int, *, flush: bool) -> list[Handed]:
    """Let a worker hold the next batches of a channel, at most `want`: first what was given back, then what is new.

    `flush`: an incomplete batch is handed out, too. A batch whose worker died is handed out alone.
    """
    found: list[Handed] = []
    channel_id = channel.channel_id
    for row in tx.all("free_batches", channel_id=channel_id, now=time.time(), limit=want):
        if row["lost"] and found:
            return found
        lease = Lease(channel_id, row["first_offset"], row["next_offset"])
        if leases.take_back(tx, task.task_id, lease):
            found.append(Handed(*lease[:2], row["next_offset"], row["attempts"] + 1))
        if row["lost"]:
            return found
    at = channel.dispatched
    while len(found) < want and (at + rules.size <= channel.next_offset or (flush and at < channel.next_offset)):
        below = min(at + rules.size, channel.next_offset)
        if not leases.take(tx, task.task_id, Lease(channel_id, at, below)):
            break
        found.append(Handed(channel_id, at, below, 1))
        at = below
    return found


def held(sql: Sql, task_id: int) -> list[Handed]:
    """Return the batches that a worker holds."""
    return [
        Handed(*lease[:2], lease.below or 0, 1 + _attempts(find(sql, *lease[:2])))
        for lease in leases.held(sql, task_id)
    ]


def lose(tx: Tx, task: Task, cause: str, rules: Rules) -> None:
    """Give back the batches of a worker whose attempt has ended. Most of them it had not begun: only dead ones have failed."""
    dead = 0
    for lease in _held(tx, task.task_id).values():
        died = Failed(lease.channel_id, lease.first, cause, 0.0)
        dead += _fail(tx, task, lease, died, rules, is_lost=True)
    _count(tx, task, BatchCounts(failed=dead, dead=dead))


def expire(tx: Tx, channel_id: int) -> None:
    """Give back the batches of a channel that their workers hold for too long. That alone makes none dead: they may live."""
    for task_id, lease in leases.expired(tx, channel_id, time.time()):
        row = find(tx, channel_id, lease.first) or _fresh(lease)
        late = {"attempts": row.attempts + 1, "lost": row.lost + 1, "error": "its worker was not heard of in time"}
        _put(tx, row, state="waiting", task_id=task_id, seconds=0.0, not_before=0.0, **late)
        leases.release(tx, task_id, channel_id, lease.first)


def claim_completion(tx: Tx, task: Task) -> BatchCounts | None:
    """Let a worker call on-job-complete; return the counts, or None when another one does, or it has been called."""
    place = {"activation_id": task.activation_id, "node": task.node}
    tx.run("count_batches", **place, **_columns(BatchCounts()))
    if not tx.run("claim_completion", task_id=task.task_id, **place):
        return None
    return counts_of(tx, str(task.activation_id), task.node)


def find(sql: Sql, channel_id: int, first: int) -> BatchRow | None:
    """Return what is known of a batch that deviates, or None."""
    row = sql.one("batch", channel_id=channel_id, first_offset=first)
    return None if row is None else BatchRow.from_row(row)


def of_activation(
    sql: Sql, activation_id: str, *, state: str | None = None, after: tuple[int, int] = (0, -1), limit: int = 100
) -> list[BatchRow]:
    """Return the batches that deviate, by channel and offset, from behind `after` on."""
    place = {"channel_id": after[0], "after": after[1]}
    rows = sql.all("batches_of_activation", activation_id=activation_id, state=state, limit=limit, **place)
    return [BatchRow.from_row(row) for row in rows]


def next_due(sql: Sql, activation_id: str, now: float) -> float | None:
    """Return when the next batch may be tried again, in seconds since 1970; None when none waits for its time."""
    row = sql.one("next_due_batch", activation_id=activation_id, now=now)
    return None if row is None else row["at"]


def counts_of(sql: Sql, activation_id: str, node: str) -> BatchCounts:
    """Return the counts of a node."""
    row = sql.one("batch_counts_of_node", activation_id=activation_id, node=node)
    return BatchCounts() if row is None else BatchCounts.from_row(row)


def ready_workers(sql: Sql, activation_id: str) -> dict[int, tuple[int, float]]:
    """Return which attempt of each worker is or was ready, and since when (seconds since 1970), by task."""
    rows = sql.all("workers_of_activation", activation_id=activation_id)
    return {row["task_id"]: (row["attempt"], row["ready_at"]) for row in rows}


def was_ready(sql: Sql, task: Task) -> bool:
    """Return whether the current attempt of a worker, or one before it, has handled batches."""
    return sql.one("worker", task_id=task.task_id) is not None


def _held(tx: Tx, task_id: int) -> dict[tuple[int, int], Lease]:
    return {(lease.channel_id, lease.first): lease for lease in leases.held(tx, task_id) if lease.below is not None}


def _publish(tx: Tx, task: Task, lease: Lease, done: Done) -> None:
    assert lease.below is not None
    if done.sent is not None and done.sent.count:
        origin = each_of(lease.channel_id, lease.first, lease.below)
        commits.publish(tx, task, replace(done.sent, parents=origin))
    row = find(tx, lease.channel_id, lease.first)
    if row is not None:
        _put(tx, row, attempts=row.attempts + 1, state="succeeded", task_id=task.task_id, seconds=done.seconds)


def _fail(tx: Tx, task: Task, lease: Lease, failed: Failed, rules: Rules, *, is_lost: bool) -> bool:
    """Note a failed attempt at a batch: it waits for the next one, or is dead; return whether it is dead."""
    assert lease.below is not None
    row = find(tx, lease.channel_id, lease.first) or _fresh(lease)
    attempts, lost = row.attempts + 1, row.lost + is_lost
    is_dead = lost >= LOST_LIMIT if is_lost else attempts - lost >= rules.receive_count
    pause = 0.0 if is_lost else min(BACKOFF_SECONDS * 2.0 ** min(attempts - lost - 1, 60), MAX_BACKOFF_SECONDS)
    changed = {"attempts": attempts, "lost": lost, "error": failed.error, "seconds": failed.seconds}
    state, not_before = ("dead", 0.0) if is_dead else ("waiting", time.time() + pause)
    _put(tx, row, task_id=task.task_id, state=state, not_before=not_before, **changed)
    if is_dead:
        dead_letters.keep(tx, *_letters(task, lease, failed.error, attempts, rules.on_error))
        queue_letters.expect(tx, _dead(task, lease, failed.error, attempts))
        leases.finish(tx, task.task_id, lease.channel_id, lease.first, lease.below)
    else:
        leases.release(tx, task.task_id, lease.channel_id, lease.first)
    return is_dead


def _dead(task: Task, lease: Lease, error: str, attempts: int) -> DeadBatch:
    activation_id, (channel_id, first) = str(task.activation_id), lease[:2]
    name = batch_id(activation_id, channel_id, first)
    return DeadBatch(activation_id, channel_id, first, lease.below or 0, name, attempts, error)


def _letters(task: Task, lease: Lease, reason: str, attempts: int, on_error: str) -> Iterable[NewDeadLetter]:
    activation_id, below = str(task.activation_id), lease.below or 0
    batch = {"id": batch_id(activation_id, lease.channel_id, lease.first), "first": lease.first, "count": lease.size}
    for offset in range(lease.first, below):
        yield NewDeadLetter(
            project_id=task.project_id,
            activation_id=activation_id,
            channel_id=lease.channel_id,
            record_offset=offset,
            task_id=task.task_id,
            skill_name=task.skill_name,
            error={
                "skill": task.skill_name,
                "action": task.action_name,
                "task": task.name,
                "attempt": task.attempt,
                "record": {"channel": lease.channel_id, "offset": offset},
                "exitCode": None,
                "reason": reason,
                "lastLines": [],
                "batch": batch,
            },
            on_error=on_error,
            attempts=attempts,
        )


def _count(tx: Tx, task: Task, counts: BatchCounts) -> None:
    if counts.succeeded or counts.failed:
        tx.run("count_batches", activation_id=task.activation_id, node=task.node, **_columns(counts))
        tx.run("worker_finished", task_id=task.task_id, count=counts.succeeded)
        tx.effects.activations.add(str(task.activation_id))


def _columns(counts: BatchCounts) -> Mapping[str, Any]:
    return {key: getattr(counts, key) for key in ("succeeded", "failed", "dead", "seconds")}


def _fresh(lease: Lease) -> BatchRow:
    return BatchRow(lease.channel_id, lease.first, lease.below or 0, 0, 0, "waiting", 0.0, "", 0, 0.0, 0.0)


def _put(tx: Tx, row: BatchRow, **changed: Any) -> None:
    tx.run("put_batch", **{**row._asdict(), **changed, "ended_at": time.time()})


def _attempts(row: BatchRow | None) -> int:
    return 0 if row is None else row.attempts

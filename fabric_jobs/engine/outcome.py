"""Decides what happens to a task whose attempt ended: retries, backoff, the record at fault. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from fabric_jobs.definitions import Action, Retries
from fabric_jobs.durations import spelled
from fabric_jobs.engine.suspects import after_death, read
from fabric_jobs.executors.base import (
    FAULT,
    LOST,
    NOT_STARTED,
    OUT_OF_MEMORY,
    REFUSED,
    STOPPED,
    UNPREPARED,
    AttemptExit,
)
from fabric_jobs.records import Lease, Task
from fabric_jobs.states import TaskState, Verdict
from fabric_jobs.store.tasks import Again

GAVE_UP = 75  # the runtime layer's exit code when its gateway is away, or the attempt is over
DO_NOT_RETRY = 65  # a program's exit code when a retry would fail too (EX_DATAERR of sysexits.h)
NO_GOODBYE = (
    "exit code 0, but records may have been lost, because it ended before all were stored: it called os._exit or exec "
    "without flush(), or ended before another process that sends for it"
)
LEFT_EARLY = "exit code 0, although batches are left"
SIGNALS = {
    1: "SIGHUP",
    2: "SIGINT",
    4: "SIGILL",
    6: "SIGABRT",
    7: "SIGBUS",
    9: "SIGKILL",
    11: "SIGSEGV",
    15: "SIGTERM",
}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What becomes of a task whose attempt ended."""

    state: TaskState  # QUEUED: it is retried, or continues after a record that it could not handle
    cause: str = ""
    again: Again = field(default_factory=Again)  # when QUEUED
    dead: Lease | None = None  # the records that used up their attempts
    attempts: int = 1  # of these records
    halves: bool = False  # when QUEUED: with one half of its records, and another task with the other


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How an attempt ended, and when."""

    exit: AttemptExit
    now: float  # by the monotonic clock
    lost_limit: int  # retries for lost attempts
    progress: Mapping[int, tuple[int, int]] = field(default_factory=dict)  # input channel -> acked, next_offset
    is_over: bool = True  # of an API's worker: nothing is left for it
    was_ready: bool = True  # of an API's worker: it has handled batches


def deadline_of(task: Task, action: Action) -> float | None:
    """Return when a task's current attempt times out, by the monotonic clock; None without a timeout."""
    if action.timeout is None or task.started_at is None:
        return None
    # A running task's `not_before_at` is the start of its current attempt, by that clock; `started_at` is for people.
    return task.not_before_at + action.timeout


def outcome(task: Task, action: Action, ended: Ended) -> Outcome:
    """Return what becomes of a task whose attempt ended."""
    if task.cancel_requested:
        return Outcome(state=TaskState.CANCELLED, cause=task.cause, dead=_own_records(task))
    if task.rejected and ended.exit.code != 0:
        return refused(task, action, task.cause or describe_exit(ended.exit))  # a retry would not help
    deadline = deadline_of(task, action)
    if ended.exit.reason == STOPPED and deadline is not None and ended.now >= deadline:
        cause = f"it ran longer than its timeout of {spelled(action.timeout or 0)}"
        return _failed(task, action, ended, TaskState.TIMEOUT, cause)
    if ended.exit.reason == STOPPED:
        return Outcome(state=TaskState.FAILED, cause="it was stopped")
    if task.cause:
        return refused(task, action, task.cause)
    if ended.exit.reason in (REFUSED, FAULT):
        return refused(task, action, ended.exit.cause)
    if ended.exit.code == 0 and not ended.is_over:
        return _failed(task, action, ended, TaskState.FAILED, LEFT_EARLY)
    if ended.exit.code == 0 and task.sender_open:
        return _failed(task, action, ended, TaskState.FAILED, NO_GOODBYE)
    if ended.exit.code == 0:
        return Outcome(state=TaskState.COMPLETE)
    is_lost = ended.exit.reason == LOST or ended.exit.code in (None, GAVE_UP)
    if is_lost and _is_worker(action):
        return _failed_worker(task, action, ended, TaskState.FAILED, "the attempt was lost")
    if is_lost:
        if task.lost < ended.lost_limit:
            again = Again(
                lost=True,
                failures=task.failures,
                failed_at=task.failed_at,
                careful=task.careful,
                not_before_at=ended.now,
            )
            return Outcome(state=TaskState.QUEUED, cause="the attempt was lost", again=again)
        return refused(task, action, f"its attempt was lost {task.lost + 1} times")
    return _failed(task, action, ended, TaskState.FAILED, describe_exit(ended.exit))


def _failed(task: Task, action: Action, ended: Ended, state: TaskState, cause: str) -> Outcome:
    if _is_worker(action):
        return _failed_worker(task, action, ended, state, cause)
    if task.receives == "stream":
        return _failed_stream(task, action, ended, state, cause)
    failures = task.failures + 1
    if not task.tried and _may_retry(action.retries, failures, ended.exit):
        again = Again(failures=failures, not_before_at=ended.now + backoff(action.retries, failures))
        return Outcome(state=TaskState.QUEUED, cause=cause, again=again)
    return _given_up(task, action, state, cause)


def _given_up(task: Task, action: Action, state: TaskState, cause: str) -> Outcome:
    """Return what becomes of a task that is not retried: the batch is halved, its records are dead, or the activation fails."""
    attempts = task.tried + task.failures + 1
    if task.records > 1 and action.on_error != "fail" and action.batch is not None and action.batch.split:
        return Outcome(state=TaskState.QUEUED, cause=cause, halves=True, attempts=attempts)
    return Outcome(state=state, cause=cause, dead=_dead(task, action), attempts=attempts)


def _failed_stream(task: Task, action: Action, ended: Ended, state: TaskState, cause: str) -> Outcome:
    """Return what becomes of a failed stream. The record at fault is the one that it named, or that its deaths singled out.

    `failures` counts the attempts that got no further than the last one.
    """
    found = after_death(task.careful, task.left_at, ended.progress)
    place = task.left_at or json.dumps({key: acked for key, (acked, _) in ended.progress.items()})
    singled_out = task.left_at is not None and any(suspects.step for suspects in read(task.careful).values())
    failures = task.failures + 1 if singled_out or place == task.failed_at else 1
    again = Again(failures=failures, failed_at=place, careful=found.careful, not_before_at=ended.now)
    if _may_retry(action.retries, failures, ended.exit):
        again = replace(again, not_before_at=ended.now + backoff(action.retries, failures))
        return Outcome(state=TaskState.QUEUED, cause=cause, again=again)
    is_wanted = action.on_error != "fail" or action.retries.limit > 0
    if found.is_narrowing and is_wanted and state is not TaskState.TIMEOUT and ended.exit.code != DO_NOT_RETRY:
        return Outcome(state=TaskState.QUEUED, cause=cause, again=again)
    if action.on_error == "fail" or state is TaskState.TIMEOUT:
        return Outcome(state=state, cause=cause)
    if found.record is not None:
        # After the record, start afresh: a second bad one is found in the same way.
        again = Again(not_before_at=ended.now)
        channel_id, offset = found.record
        dead = Lease(channel_id, offset, offset + 1)
        return Outcome(state=TaskState.QUEUED, cause=cause, again=again, dead=dead, attempts=failures)
    return Outcome(state=state, cause=f"{cause}, and no record is at fault")


def _failed_worker(task: Task, action: Action, ended: Ended, state: TaskState, cause: str) -> Outcome:
    """Return what becomes of a failed worker of an API: it is replaced, unless it never got ready or there is no progress."""
    by_itself = ended.exit.reason != LOST and ended.exit.code not in (None, GAVE_UP) and (ended.exit.code or 0) < 128
    place = json.dumps(ended.progress)
    failures = task.failures + 1 if place == task.failed_at else 1
    if (by_itself and not ended.was_ready) or not _may_retry(action.retries, failures, ended.exit):
        return Outcome(state=state, cause=cause)
    not_before_at = ended.now + backoff(action.retries, failures)
    again = Again(lost=not by_itself, failures=failures, failed_at=place, not_before_at=not_before_at)
    return Outcome(state=TaskState.QUEUED, cause=cause, again=again)


def _is_worker(action: Action) -> bool:
    """Return whether an action is a Batch API, whose workers are replaced as long as batches succeed."""
    return action.api is not None and action.api.is_batch


def _may_retry(retries: Retries, failures: int, ended: AttemptExit) -> bool:
    return failures <= retries.limit and ended.code != DO_NOT_RETRY


def backoff(retries: Retries, failures: int) -> float:
    """Return the pause before the next attempt after this many failures, in seconds."""
    return min(retries.backoff_seconds * 2.0 ** min(failures - 1, 60), retries.max_backoff_seconds)


def _dead(task: Task, action: Action) -> Lease | None:
    return None if action.on_error == "fail" else _own_records(task)


def refused(task: Task, action: Action, cause: str) -> Outcome:
    """Return the outcome of a task that no retry can help: it cannot start, or its output is unusable."""
    return _given_up(task, action, TaskState.FAILED, cause)


def _own_records(task: Task) -> Lease | None:
    if task.channel_id is None or task.record_offset is None:
        return None
    return Lease(task.channel_id, task.record_offset, task.record_offset + task.records)


def describe_exit(ended: AttemptExit) -> str:
    """Return how an attempt ended in words, such as `exit code 137 (killed by SIGKILL)`."""
    if ended.code is None:
        return "its exit code is unknown"
    if ended.reason == UNPREPARED:
        return f"its requirements could not be installed (exit code {ended.code})"
    if ended.reason == NOT_STARTED:
        return f"it could not be started (exit code {ended.code})"
    if ended.reason == OUT_OF_MEMORY:
        return f"it ran out of memory (exit code {ended.code}); the limit is 'resources: memory' of its action"
    name = SIGNALS.get(ended.code - 128, "")
    return f"exit code {ended.code}" + (f" (killed by {name})" if name else "")


def verdict_of(state: TaskState, reason: str) -> Verdict:
    """Return why a job ends with a task that ended in `state`; `reason` is that of its attempt."""
    if state is TaskState.TIMEOUT:
        return Verdict.TIMED_OUT
    if state is TaskState.CANCELLED:
        return Verdict.STOPPED
    return Verdict.WORKER_OOM if reason == OUT_OF_MEMORY else Verdict.WORKER_ERROR

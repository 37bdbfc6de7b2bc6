"""The status of a job, from stored facts only (docs/reference/jobs.md). Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from fabric_jobs.apis import BATCH
from fabric_jobs.jobs import BatchCounts, Job
from fabric_jobs.records import Activation, Task
from fabric_jobs.states import ActivationState, TaskState

PENDING, ENQUEUING, RUNNING, SUCCEEDED = "pending", "enqueuing", "running", "succeeded"
COMPLETED_WITH_FAILURES, UNEXPECTED_ERROR, STOPPED = "completed_with_failures", "unexpected_error", "stopped"
LIVE = (PENDING, ENQUEUING, RUNNING)
STALLED_SECONDS = 600.0  # a worker that waits longer for its place is stalled

# Both spellings of the counts of workers, newer first.
NEWER = {"pending": "pending", "initializing": "not_ready", "running": "ready", "succeeded": "succeeded"}
NEWER |= {"failed": "failed", "stalled": "stalled"}


def status_of(job: Job, activation: Activation, counts: BatchCounts, workers: Mapping[str, int]) -> str:
    """Return one of the codes of a job's status; `workers` are those of `worker_counts`."""
    match activation.state:
        case ActivationState.PENDING:
            return _live(job, activation, workers)
        case ActivationState.COMPLETE:
            return COMPLETED_WITH_FAILURES if counts.failed else SUCCEEDED
        case ActivationState.CANCELLED:
            return job.verdict or STOPPED
        case ActivationState.ERROR:
            return job.verdict or UNEXPECTED_ERROR


def _live(job: Job, activation: Activation, workers: Mapping[str, int]) -> str:
    if job.kind != BATCH:
        return RUNNING
    if not activation.admitted:
        return PENDING
    if workers.get("running") or workers.get("succeeded"):
        return RUNNING
    if job.position is not None:
        return ENQUEUING
    return RUNNING if workers.get("initializing") else PENDING


def worker_counts(
    tasks: Iterable[Task], ready: Mapping[int, tuple[int, float]], waiting: Mapping[int, float], now: float
) -> dict[str, int]:
    """Return how many workers are in each state, in the older spelling.

    `ready` tells the attempt of each task that was ready, and since when; `waiting` the tasks whose place still waits for
    something, such as a node or an image, and since when. `now` and all times are in seconds since 1970.
    """
    found = Counter(_state(task, ready, waiting, now) for task in tasks)
    return {name: found[name] for name in NEWER}


def may_wait(task: Task, ready: Mapping[int, tuple[int, float]]) -> bool:
    """Return whether a task's place may still wait for something, though it has accepted the attempt."""
    return task.state is TaskState.ACTIVE and not _is_ready(task, ready)


def newer_counts(counts: Mapping[str, int]) -> dict[str, int]:
    """Return counts of workers in the newer spelling, without zeros."""
    return {newer: counts[name] for name, newer in NEWER.items() if counts.get(name)}


def _state(task: Task, ready: Mapping[int, tuple[int, float]], waiting: Mapping[int, float], now: float) -> str:
    match task.state:
        case TaskState.COMPLETE:
            return "succeeded"
        case TaskState.QUEUED | TaskState.STARTING:
            since = max(task.created_at, task.not_before_at)  # since its attempt ended, or the next one began
            return _waits(since, now)
        case TaskState.ACTIVE if _is_ready(task, ready):
            return "running"
        case TaskState.ACTIVE:
            return _waits(waiting[task.task_id], now) if task.task_id in waiting else "initializing"
        case _:
            return "failed"


def _waits(since: float, now: float) -> str:
    return "stalled" if now - since > STALLED_SECONDS else "pending"


def _is_ready(task: Task, ready: Mapping[int, tuple[int, float]]) -> bool:
    return ready.get(task.task_id, (0, 0.0))[0] == task.attempt

"""The states of activations and tasks, and the allowed moves (docs/reference/settings.md)."""

from __future__ import annotations

from enum import StrEnum


class TaskState(StrEnum):
    """The state of a task. An end is final; the attempts have the details."""

    QUEUED = "QUEUED"
    STARTING = "STARTING"
    ACTIVE = "ACTIVE"
    COMPLETE = "COMPLETE"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    TIMEOUT = "TIMEOUT"


class ActivationState(StrEnum):
    """The state of an activation (docs/reference/compatibility.md#states-of-activations)."""

    PENDING = "PENDING"
    COMPLETE = "COMPLETE"
    ERROR = "ERROR"
    CANCELLED = "CANCELLED"


class Verdict(StrEnum):
    """Why a job ended early."""

    TIMED_OUT = "timed_out"
    STOPPED = "stopped"
    ENQUEUE_FAILED = "enqueue_failed"
    WORKER_ERROR = "worker_error"
    WORKER_OOM = "worker_oom"


TASK_MOVES: dict[TaskState, frozenset[TaskState]] = {
    TaskState.QUEUED: frozenset({TaskState.STARTING, TaskState.CANCELLED, TaskState.FAILED}),
    TaskState.STARTING: frozenset(
        {
            TaskState.ACTIVE,
            TaskState.QUEUED,
            TaskState.COMPLETE,
            TaskState.FAILED,
            TaskState.CANCELLED,
            TaskState.TIMEOUT,
        }
    ),
    TaskState.ACTIVE: frozenset(
        {TaskState.QUEUED, TaskState.COMPLETE, TaskState.FAILED, TaskState.CANCELLED, TaskState.TIMEOUT}
    ),
    TaskState.COMPLETE: frozenset(),
    TaskState.FAILED: frozenset(),
    TaskState.CANCELLED: frozenset(),
    TaskState.TIMEOUT: frozenset(),
}

ACTIVATION_MOVES: dict[ActivationState, frozenset[ActivationState]] = {
    ActivationState.PENDING: frozenset({ActivationState.COMPLETE, ActivationState.ERROR, ActivationState.CANCELLED}),
    ActivationState.COMPLETE: frozenset(),
    ActivationState.ERROR: frozenset(),
    ActivationState.CANCELLED: frozenset(),
}

LIVE_TASK_STATES: frozenset[TaskState] = frozenset({TaskState.QUEUED, TaskState.STARTING, TaskState.ACTIVE})
FINAL_TASK_STATES: frozenset[TaskState] = frozenset(TaskState) - LIVE_TASK_STATES

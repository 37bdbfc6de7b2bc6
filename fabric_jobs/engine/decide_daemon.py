"""Decides on the task of a daemon, by a pure function of a snapshot, as `engine.decide` does on those of activations."""

from __future__ import annotations

from dataclasses import dataclass

from fabric_jobs.engine.decide import Decision, FinishTask, LaunchAttempt, LookAgain, StartTask, StopAttempt
from fabric_jobs.engine.outcome import Outcome, describe_exit
from fabric_jobs.executors.base import FAULT, REFUSED, STOPPED, AttemptExit
from fabric_jobs.records import Task
from fabric_jobs.states import TaskState
from fabric_jobs.store.tasks import Again

DEATHS = 3  # attempts in a row that end before the port is open


@dataclass(frozen=True, kw_only=True)
class CreateDaemon:
    """Make the task of a daemon, and start it at once."""


@dataclass(frozen=True, kw_only=True)
class DaemonSnapshot:
    """The task of a daemon and what is wanted of it, at one moment."""

    task: Task | None  # None: there is none that has not ended
    end_cause: str = ""  # why its program is to end; empty: it may run
    is_silent: bool = False  # it is to end since it does not listen
    is_awaited: bool = False  # a caller waits for the program
    was_ready: bool = False  # the current attempt has listened
    deaths: int = 0  # earlier attempts in a row that have not
    port: int = 0  # that the current attempt was told
    exit: AttemptExit | None = None  # of the current attempt
    is_followed: bool = False  # a lane has the current attempt
    idle_at: float = 0.0  # when nobody will have called it for long enough, by the monotonic clock


def decide_daemon(seen: DaemonSnapshot) -> list[Decision | CreateDaemon]:
    """Return what to do now. Every decision is idempotent."""
    task = seen.task
    if task is None:
        return [CreateDaemon()] if seen.is_awaited and not seen.end_cause else []
    if seen.exit is not None:
        return [FinishTask(task=task, exit=seen.exit)]
    ends = bool(seen.end_cause) or task.cancel_requested
    if task.state is TaskState.QUEUED:
        if ends:
            return [FinishTask(task=task, exit=AttemptExit(None, STOPPED))]
        return [StartTask(task=task)] if seen.is_awaited else [LookAgain(at=seen.idle_at)]
    if ends:
        return [StopAttempt(task=task)]
    again: list[Decision | CreateDaemon] = [LookAgain(at=seen.idle_at)]
    return again if seen.is_followed else [*again, LaunchAttempt(task=task)]


def daemon_outcome(seen: DaemonSnapshot, ended: AttemptExit) -> Outcome:
    """Return what becomes of the task of a daemon whose attempt ended, or which never had one."""
    assert seen.task is not None
    if seen.task.cancel_requested:
        return Outcome(state=TaskState.CANCELLED, cause=seen.task.cause)
    if seen.end_cause:
        return Outcome(state=TaskState.FAILED if seen.is_silent else TaskState.COMPLETE, cause=seen.end_cause)
    if ended.reason in (REFUSED, FAULT):
        return Outcome(state=TaskState.FAILED, cause=ended.cause)
    if seen.was_ready or seen.deaths + 1 < DEATHS:
        return Outcome(state=TaskState.QUEUED, cause=describe_exit(ended), again=Again())
    cause = f"the daemon ended before it listened on port {seen.port} (PORT): {describe_exit(ended)}"
    return Outcome(state=TaskState.FAILED, cause=cause)

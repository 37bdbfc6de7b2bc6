"""What happens next: a pure function of a snapshot (DESIGN section 7)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain

from fabric_jobs.definitions import Action
from fabric_jobs.engine.snapshot import Snapshot
from fabric_jobs.executors.base import LOST, STOPPED, UNPREPARED, AttemptExit
from fabric_jobs.records import Channel, Task
from fabric_jobs.routing import Node
from fabric_jobs.states import TaskState

GAVE_UP = 75  # the runtime layer's exit code when its gateway is away, or says that the attempt is over


@dataclass(frozen=True, kw_only=True)
class CreateTasks:
    """Make the task of a stream node, or one task per record of a channel, and start the first of them at once."""

    node: Node
    channel_id: int | None = None
    first: int = 0
    count: int = 1
    start: int = 1


@dataclass(frozen=True, kw_only=True)
class StartTask:
    """QUEUED to STARTING, and on to the executor."""

    task: Task


@dataclass(frozen=True, kw_only=True)
class LaunchAttempt:
    """Hand the current attempt to the executor, perhaps once more."""

    task: Task


@dataclass(frozen=True, kw_only=True)
class StopAttempt:
    """Ask, wait, force."""

    task: Task


@dataclass(frozen=True, kw_only=True)
class FinishTask:
    """The attempt ended: complete the task, try it again, or let it fail."""

    task: Task
    exit: AttemptExit


@dataclass(frozen=True, kw_only=True)
class CancelActivation:
    """Somebody asked."""


@dataclass(frozen=True, kw_only=True)
class LookAgain:
    """Nothing to do before a moment."""

    at: float  # seconds since 1970


Decision = CreateTasks | StartTask | LaunchAttempt | StopAttempt | FinishTask | CancelActivation | LookAgain


def decide(snapshot: Snapshot) -> list[Decision]:
    """Return what is to be done now; nothing in it may hurt when it is done twice."""
    if snapshot.activation.cancel_requested and not snapshot.activation.ended:
        return [CancelActivation()]
    decisions = list(chain.from_iterable(_for_task(snapshot, task) for task in snapshot.live))
    if snapshot.activation.ended:
        return [decision for decision in decisions if not isinstance(decision, StartTask | LaunchAttempt)]
    free = snapshot.free_slots
    for node in snapshot.plan.nodes.values():
        if node.is_stream:
            decisions += _create_stream(snapshot, node)
            continue
        queued = _start_messages(snapshot, node, free)
        created = _create_messages(snapshot, node, free)
        free -= sum(isinstance(decision, StartTask) for decision in queued) + sum(item.start for item in created)
        decisions += [*queued, *created]
    return decisions


def _for_task(snapshot: Snapshot, task: Task) -> list[Decision]:
    ended = snapshot.exits.get(task.task_id)
    if ended is not None:
        return [FinishTask(task=task, exit=ended)]
    if task.cancel_requested:
        if task.state is TaskState.QUEUED:
            return [FinishTask(task=task, exit=AttemptExit(None, STOPPED))]
        return [StopAttempt(task=task)]
    if task.state is TaskState.QUEUED:
        return [_start(snapshot, task)] if task.receives == "stream" else []
    deadline = deadline_of(task, snapshot.plan.nodes[task.node].action)
    if deadline is not None and snapshot.now >= deadline:
        return [StopAttempt(task=task)]
    decisions: list[Decision] = [] if deadline is None else [LookAgain(at=deadline)]
    if task.state is TaskState.STARTING and task.task_id not in snapshot.accepted:
        decisions.append(LaunchAttempt(task=task))
    return decisions


def _start(snapshot: Snapshot, task: Task) -> Decision:
    if snapshot.now < task.not_before_at:
        return LookAgain(at=task.not_before_at)
    return StartTask(task=task)


def _start_messages(snapshot: Snapshot, node: Node, free: int) -> list[Decision]:
    queued = [
        task for task in snapshot.running(node.key) if task.state is TaskState.QUEUED and not task.cancel_requested
    ]
    return [_start(snapshot, task) for task in queued[: _room(snapshot, node, free)]]


def deadline_of(task: Task, action: Action) -> float | None:
    """Return when the current attempt of a task times out, in seconds since 1970; None when it may run on."""
    if action.timeout is None or task.started_at is None:
        return None
    return (
        max(task.started_at, task.not_before_at) + action.timeout
    )  # another try begins when it may, not when the first did


def _room(snapshot: Snapshot, node: Node, free: int) -> int:
    """Return how many more tasks of a node may start: it is sure of one slot, whoever holds the others."""
    busy = sum(task.state is not TaskState.QUEUED for task in snapshot.running(node.key))
    workers = node.action.workers or snapshot.cpus
    return max(0, min(workers - busy, max(free, 1 - busy)))


def _create_stream(snapshot: Snapshot, node: Node) -> list[CreateTasks]:
    return [] if node.key in snapshot.streams else [CreateTasks(node=node)]


def _create_messages(snapshot: Snapshot, node: Node, free: int) -> list[CreateTasks]:
    waiting = snapshot.running(node.key)
    window = 2 * (node.action.workers or snapshot.cpus) - len(waiting)
    room = _room(snapshot, node, free) - sum(task.state is TaskState.QUEUED for task in waiting)
    created = []
    for channel in snapshot.inbound(node):
        count = min(window, _undispatched(channel))
        if count <= 0:
            continue
        start = max(0, min(room, count))
        created.append(
            CreateTasks(node=node, channel_id=channel.channel_id, first=channel.dispatched, count=count, start=start)
        )
        window -= count
        room -= start
    return created


def _undispatched(channel: Channel) -> int:
    return channel.next_offset - channel.dispatched


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What becomes of a task whose attempt ended."""

    state: TaskState  # QUEUED: it is tried again
    cause: str = ""
    lost: bool = False
    not_before_at: float = 0.0


def outcome(task: Task, ended: AttemptExit, action: Action, *, now: float, lost_limit: int) -> Outcome:
    """Return what becomes of a task whose attempt ended."""
    if task.cancel_requested:
        return Outcome(state=TaskState.CANCELLED, cause=task.cause)
    if ended.reason == STOPPED:
        deadline = deadline_of(task, action)
        if deadline is not None and now >= deadline:
            return Outcome(state=TaskState.TIMEOUT, cause=f"it ran longer than its timeout of {action.timeout:g} s")
        return Outcome(state=TaskState.FAILED, cause="it was stopped")
    if task.cause:
        return Outcome(state=TaskState.FAILED, cause=task.cause)
    if ended.code == 0:
        return Outcome(state=TaskState.COMPLETE)
    if ended.reason == LOST or ended.code in (None, GAVE_UP):
        if task.lost < lost_limit:
            return Outcome(state=TaskState.QUEUED, cause="the attempt was lost", lost=True, not_before_at=now)
        return Outcome(state=TaskState.FAILED, cause=f"its attempt was lost {task.lost + 1} times")
    return _failed(task, ended, action, now)


def _failed(task: Task, ended: AttemptExit, action: Action, now: float) -> Outcome:
    cause = describe_exit(ended)
    if task.failures >= action.retries.limit:
        return Outcome(state=TaskState.FAILED, cause=cause)
    backoff = min(action.retries.backoff_seconds * 2**task.failures, action.retries.max_backoff_seconds)
    return Outcome(state=TaskState.QUEUED, cause=cause, not_before_at=now + backoff)


def describe_exit(ended: AttemptExit) -> str:
    """Return how an attempt ended in words, such as `exit code 137 (killed by SIGKILL)`."""
    if ended.code is None:
        return "nobody knows how it ended"
    if ended.reason == UNPREPARED:
        return f"its requirements could not be installed (exit code {ended.code})"
    names = {
        1: "SIGHUP",
        2: "SIGINT",
        4: "SIGILL",
        6: "SIGABRT",
        7: "SIGBUS",
        9: "SIGKILL",
        11: "SIGSEGV",
        15: "SIGTERM",
    }
    name = names.get(ended.code - 128, "")
    return f"exit code {ended.code}" + (f" (killed by {name})" if name else "")

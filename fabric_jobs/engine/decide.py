"""Decides what happens next, by a pure function of a snapshot (docs/explanation/architecture.md)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, pairwise

from fabric_jobs.engine.outcome import deadline_of
from fabric_jobs.engine.snapshot import Snapshot
from fabric_jobs.executors.base import STOPPED, AttemptExit
from fabric_jobs.records import Channel, Lease, Task
from fabric_jobs.routing import Node
from fabric_jobs.states import TaskState, Verdict

ENOUGH = 1 << 30  # worker slots


@dataclass(frozen=True, kw_only=True)
class CreateTasks:
    """Make the tasks of a node, and start the first of them at once.

    Each takes a lease: the next record of a channel, or a batch of them. A stream's worker takes none ahead, or everything.
    """

    node: Node
    takes: tuple[Lease | None, ...] = (None,)
    start: int = 0


@dataclass(frozen=True, kw_only=True)
class StartTask:
    """Move a task from QUEUED to STARTING and hand it to the executor."""

    task: Task


@dataclass(frozen=True, kw_only=True)
class LaunchAttempt:
    """Make sure that this engine follows the current attempt: ask its place about it, or hand it over (perhaps again)."""

    task: Task


@dataclass(frozen=True, kw_only=True)
class AskWhetherItRuns:
    """Ask, at an attempt's timeout, whether its program runs: time that its place spent waiting does not count."""

    task: Task


@dataclass(frozen=True, kw_only=True)
class StopAttempt:
    """Stop an attempt: ask, wait, force."""

    task: Task


@dataclass(frozen=True, kw_only=True)
class FinishTask:
    """Complete, retry or fail the task of an ended attempt."""

    task: Task
    exit: AttemptExit


@dataclass(frozen=True, kw_only=True)
class CallRecords:
    """Make sure that the records of a node are sent to its daemon or its external API."""

    task: Task | None  # None: make it
    node: Node


@dataclass(frozen=True, kw_only=True)
class EndCalls:
    """End the calls of a task."""

    task: Task


@dataclass(frozen=True, kw_only=True)
class CancelActivation:
    """Cancel the activation: somebody asked for it, or its time is up."""

    verdict: Verdict = Verdict.STOPPED  # of the job that it is
    cause: str = ""  # empty: that of the request


@dataclass(frozen=True, kw_only=True)
class AwaitSlot:
    """Wait for a worker slot: more tasks could start."""


@dataclass(frozen=True, kw_only=True)
class LookAgain:
    """Look again at a given time."""

    at: float  # by the monotonic clock


Decision = (
    CreateTasks
    | StartTask
    | LaunchAttempt
    | AskWhetherItRuns
    | StopAttempt
    | FinishTask
    | CallRecords
    | EndCalls
    | CancelActivation
    | AwaitSlot
    | LookAgain
)


def decide(snapshot: Snapshot) -> list[Decision]:
    """Return what to do now. Every decision is idempotent."""
    if snapshot.activation.cancel_requested and not snapshot.activation.ended:
        return [CancelActivation()]
    decisions: list[Decision] = []
    if snapshot.due is not None and not snapshot.activation.ended:
        if snapshot.now >= snapshot.due:
            return [CancelActivation(verdict=Verdict.TIMED_OUT, cause="it ran longer than its timeout")]
        decisions.append(LookAgain(at=snapshot.due))
    if not snapshot.activation.admitted:
        return decisions  # it waits for its turn
    decisions += chain.from_iterable(_for_task(snapshot, task) for task in snapshot.live)
    if snapshot.activation.ended:
        return [decision for decision in decisions if not isinstance(decision, StartTask | LaunchAttempt)]
    free = snapshot.free_slots
    for node in snapshot.plan.nodes.values():
        if node.is_called:
            decisions += _call(snapshot, node)
            continue
        if node.is_stream:
            decisions += _create_stream(snapshot, node)
            continue
        wanted = _messages(snapshot, node, free)
        decisions += wanted
        if free < _workers(snapshot, node) and _starts(_messages(snapshot, node, ENOUGH)) > _starts(wanted):
            decisions.append(AwaitSlot())
        free -= _starts(wanted)
    return decisions


def _messages(snapshot: Snapshot, node: Node, free: int) -> list[Decision]:
    return [*_start_messages(snapshot, node, free), *_create_messages(snapshot, node, free)]


def _starts(decisions: list[Decision]) -> int:
    """Return how many tasks these decisions start."""
    created = sum(decision.start for decision in decisions if isinstance(decision, CreateTasks))
    return created + sum(isinstance(decision, StartTask) for decision in decisions)


def _workers(snapshot: Snapshot, node: Node) -> int:
    return node.action.workers or snapshot.cpus


def _call(snapshot: Snapshot, node: Node) -> list[Decision]:
    if not any(channel.acked < channel.next_offset for channel in snapshot.inbound(node)):
        return []
    running = snapshot.running(node.key)
    if any(task.cancel_requested for task in running):
        return []
    return [CallRecords(task=running[0] if running else None, node=node)]


def _for_task(snapshot: Snapshot, task: Task) -> list[Decision]:
    if task.kind == "calls":
        return [EndCalls(task=task)] if task.cancel_requested else []
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
    is_late = deadline is not None and snapshot.now >= deadline
    decisions: list[Decision] = [] if deadline is None or is_late else [LookAgain(at=deadline)]
    if task.task_id not in snapshot.accepted:  # in any state: another engine may just have moved it
        decisions.append(LaunchAttempt(task=task))
    elif is_late:
        runs = task.task_id in snapshot.running_late
        decisions.append(StopAttempt(task=task) if runs else AskWhetherItRuns(task=task))
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


def _room(snapshot: Snapshot, node: Node, free: int) -> int:
    """Return how many more tasks of a node may start: each node always has one slot, whoever holds the others."""
    busy = sum(task.state is not TaskState.QUEUED for task in snapshot.running(node.key))
    return max(0, min(_workers(snapshot, node) - busy, max(free, 1 - busy)))


def _create_stream(snapshot: Snapshot, node: Node) -> list[CreateTasks]:
    missing = node.workers - snapshot.streams.get(node.key, 0)
    return [CreateTasks(node=node, takes=(None,) * missing, start=missing)] if missing > 0 else []


def _create_messages(snapshot: Snapshot, node: Node, free: int) -> list[Decision]:
    waiting = snapshot.running(node.key)
    window = 2 * _workers(snapshot, node) - len(waiting)
    room = _room(snapshot, node, free) - sum(task.state is TaskState.QUEUED for task in waiting)
    created: list[Decision] = []
    for channel in snapshot.inbound(node):
        takes, left = _takes(node, channel, window)
        if left is not None and window > len(takes):
            since = snapshot.waiting.get(channel.channel_id, snapshot.now)
            due_at = since + (node.batch.seconds if node.batch is not None else 0.0)
            if channel.ended or snapshot.now >= due_at:
                takes.append(left)
            else:
                created.append(LookAgain(at=due_at))
        if takes:
            start = max(0, min(room, len(takes)))
            created.append(CreateTasks(node=node, takes=tuple(takes), start=start))
            window -= len(takes)
            room -= start
    return created


def _takes(node: Node, channel: Channel, window: int) -> tuple[list[Lease], Lease | None]:
    """Return the next leases of a channel, at most `window`, and the incomplete batch that is left, if there is one."""
    size = 1 if node.batch is None else node.batch.size
    whole = min(max(0, window), (channel.next_offset - channel.dispatched) // size)
    ends = range(channel.dispatched, channel.dispatched + whole * size + 1, size)
    takes = [Lease(channel.channel_id, first, below) for first, below in pairwise(ends)]
    is_left = ends[-1] < channel.next_offset < ends[-1] + size
    return takes, Lease(channel.channel_id, ends[-1], channel.next_offset) if is_left else None

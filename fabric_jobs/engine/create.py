"""Makes tasks, in the transaction that calls for them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from fabric_jobs.clock import steady
from fabric_jobs.engine.decide import AwaitSlot, CreateTasks, StartTask, decide
from fabric_jobs.engine.slots import free_slots
from fabric_jobs.engine.snapshot import Snapshot, take
from fabric_jobs.names import task_name
from fabric_jobs.records import Activation, Lease, Task
from fabric_jobs.routing import Node, Plan
from fabric_jobs.settings import Settings, cpu_count
from fabric_jobs.store import Tx, activations, channels, leases, tasks


def create_tasks(tx: Tx, snapshot: Snapshot, wanted: CreateTasks) -> list[Task]:
    """Make the tasks of a decision; return the started ones, for the executor to take after the commit."""
    if not activations.is_pending(tx, snapshot.activation.activation_id) or _is_stale(tx, snapshot, wanted):
        return []  # it has ended, or another look has made them, since the snapshot
    started = []
    for index, lease in enumerate(wanted.takes):
        task = _created(tx, snapshot, wanted.node, lease)
        if task is not None and index < wanted.start:
            started.append(tasks.start(tx, task, snapshot.activation.executor))
    return [task for task in started if task is not None]


def _is_stale(tx: Tx, snapshot: Snapshot, wanted: CreateTasks) -> bool:
    first = wanted.takes[0]
    if first is None:
        counts = tasks.stream_counts(tx, snapshot.activation.activation_id)
        return counts.get(wanted.node.key, 0) != snapshot.streams.get(wanted.node.key, 0)
    channel = channels.find(tx, first.channel_id)
    return channel is None or channel.dispatched != first.first


def _created(tx: Tx, snapshot: Snapshot, node: Node, lease: Lease | None) -> Task | None:
    new = new_task(snapshot.activation, node)
    if lease is not None:
        hops = 1 + channels.hops_of(tx, lease.channel_id, lease.first, lease.below)
        new = replace(new, channel_id=lease.channel_id, record_offset=lease.first, records=lease.size, hops=hops)
    elif node.is_stream and node.is_shared:
        counts = tasks.stream_counts(tx, snapshot.activation.activation_id)
        new = replace(new, worker=1 + counts.get(node.key, 0))
    task_id = tasks.create(tx, new)
    if lease is not None:
        leases.take(tx, task_id, lease)
    elif node.is_stream and not node.is_shared:
        for channel in snapshot.inbound(node):
            leases.take_all(tx, task_id, channel.channel_id)
    return tasks.find(tx, task_id)


@dataclass(frozen=True, kw_only=True)
class Advanced:
    """What followed from a transaction."""

    started: tuple[Task, ...] = ()  # for the executor to take after the commit
    is_all: bool = False  # nothing else is left to do
    waits: bool = False  # more tasks could start with more worker slots


def advance(tx: Tx, activation_id: str, plan: Plan, settings: Settings, *, seen: Snapshot | None = None) -> Advanced:
    """Make and start, in a transaction, the tasks that follow from it. `seen` is a current snapshot, if there is one."""
    taken = seen or take(tx, activation_id, plan)
    if taken is None or taken.activation.ended or not taken.activation.admitted:
        return Advanced()
    snapshot = replace(
        taken,
        accepted=frozenset(task.task_id for task in taken.live),  # a transaction cannot know, so assume it
        now=steady(),
        free_slots=free_slots(tx, settings, taken.activation.executor),
        cpus=cpu_count(),
    )
    started: list[Task] = []
    is_all, waits = True, False
    for decision in decide(snapshot):
        if isinstance(decision, CreateTasks):
            started += create_tasks(tx, snapshot, decision)
        elif isinstance(decision, StartTask):
            task = tasks.start(tx, decision.task, snapshot.activation.executor)
            started += [task] if task is not None else []
        elif isinstance(decision, AwaitSlot):
            waits = True
        else:
            is_all = False
    return Advanced(started=tuple(started), is_all=is_all, waits=waits)


def new_task(activation: Activation, node: Node) -> tasks.NewTask:
    """Return a new task of a node: a job that has no record yet."""
    return tasks.NewTask(
        project_id=activation.project_id,
        name=task_name(activation.project_id, node.skill_name, node.action.name),
        activation_id=activation.activation_id,
        node=node.key,
        skill_name=node.skill_name,
        action_name=node.action.name,
        receives=node.action.receives,
    )

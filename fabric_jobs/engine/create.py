"""Makes tasks, in the transaction that calls for them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from fabric_jobs.clock import steady
from fabric_jobs.engine.decide import AwaitSlot, CreateTasks, StartTask, decide
from fabric_jobs.engine.slots import free_slots
from fabric_jobs.engine.snapshot import Snapshot, take
from fabric_jobs.names import task_name
from fabric_jobs.records import Activation, Task
from fabric_jobs.routing import Node, Plan
from fabric_jobs.settings import Settings, cpu_count
from fabric_jobs.store import Tx, activations, channels, tasks


def create_tasks(tx: Tx, snapshot: Snapshot, wanted: CreateTasks) -> list[Task]:
    """Make the tasks of a decision; return the started ones, for the executor to take after the commit."""
    if not activations.is_pending(tx, snapshot.activation.activation_id):
        return []  # it has ended since the snapshot
    if wanted.channel_id is not None and not channels.dispatch(
        tx, wanted.channel_id, wanted.first, wanted.first + wanted.count
    ):
        return []
    started = []
    for index in range(wanted.count):
        offset = None if wanted.channel_id is None else wanted.first + index
        task = tasks.find(tx, tasks.create(tx, _with_record(tx, snapshot, wanted, offset)))
        if task is not None and index < wanted.start:
            started.append(tasks.start(tx, task, snapshot.activation.executor))
    return [task for task in started if task is not None]


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


def _with_record(tx: Tx, snapshot: Snapshot, wanted: CreateTasks, offset: int | None) -> tasks.NewTask:
    new = new_task(snapshot.activation, wanted.node)
    if wanted.channel_id is None or offset is None:
        return new
    hops = 1 + channels.hops_of(tx, wanted.channel_id, offset)
    return replace(new, channel_id=wanted.channel_id, record_offset=offset, hops=hops)


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

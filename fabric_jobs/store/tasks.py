"""Tasks and their attempts: each move is one guarded UPDATE, with an event in the same transaction."""

from __future__ import annotations

import time
from dataclasses import dataclass

from fabric_jobs.clock import steady
from fabric_jobs.records import Attempt, Task
from fabric_jobs.states import FINAL_TASK_STATES, TaskState
from fabric_jobs.store import events, leases, lists
from fabric_jobs.store.activations import LAST_ID, RunFilter
from fabric_jobs.store.sql import Sql
from fabric_jobs.store.writer import Tx

ENDED = frozenset(state.value for state in FINAL_TASK_STATES)


@dataclass(frozen=True, kw_only=True)
class NewTask:
    """The values that a task starts with."""

    project_id: str
    name: str
    activation_id: str | None  # None: a daemon
    node: str
    skill_name: str
    action_name: str
    receives: str  # message | batch | stream
    channel_id: int | None = None
    record_offset: int | None = None
    kind: str = "job"  # job | calls | daemon
    hops: int = 1  # mappings that the task's record has passed
    records: int = 1  # that it handles, from `record_offset` on
    worker: int = 0  # its number among the workers of a stream, from 1; 0: the only one
    tried: int = 0  # attempts that its records had in a larger batch


def create(tx: Tx, new: NewTask) -> int:
    """Insert a task, QUEUED; return its id."""
    task_id = tx.insert("insert_task", created_at=time.time(), **vars(new))
    _event(tx, new.project_id, new.activation_id, task_id, TaskState.QUEUED, name=new.name, node=new.node)
    return task_id


def find(sql: Sql, task_id: int) -> Task | None:
    """Return a task; None when there is none of that id."""
    row = sql.one("task", task_id=task_id)
    return None if row is None else Task.from_row(row)


def by_name(sql: Sql, project_id: str, name: str) -> Task | None:
    """Return the task of that name, or None."""
    row = sql.one("task_by_name", project_id=project_id, name=name)
    return None if row is None else Task.from_row(row)


def beginning(sql: Sql, project_id: str, begin: str, *, limit: int) -> list[Task]:
    """Return the tasks of a project whose name begins with a text, by their names."""
    beyond = begin + LAST_ID
    rows = sql.all("tasks_beginning", project_id=project_id, begin=begin, beyond=beyond, limit=limit)
    return [Task.from_row(row) for row in rows]


def listed(sql: Sql, wanted: RunFilter) -> list[Task]:
    """Return the newest tasks first, or the oldest."""
    after = wanted.after_task
    values = {
        "project_id": wanted.project_id,
        "agent": wanted.agent,
        "activation_id": wanted.activation_id,
        "skill_name": wanted.skill,
        "action_name": wanted.action,
        "state": wanted.state,
        "above": after if after is not None and wanted.oldest_first else -1,
        "below": after if after is not None and not wanted.oldest_first else 2**62,
    }
    ways = {
        "tasks_of_activation": wanted.activation_id is not None,
        "tasks_of_skill": wanted.skill is not None,
        "tasks_of_action": wanted.action is not None,
        "tasks_of_agent": wanted.agent is not None,
        "tasks_that_ended": wanted.state in ENDED,
        "tasks_that_live": wanted.state is not None and wanted.state not in ENDED,
    }
    way = lists.narrowest(sql, ways, values, "tasks")
    order = "_oldest" if wanted.oldest_first else ""
    rows = sql.all(f"{way}{order}", limit=wanted.limit, skip=wanted.skip, **values)
    return [Task.from_row(row) for row in rows]


def live(sql: Sql, activation_id: str) -> list[Task]:
    """Return the tasks of an activation that have not ended, oldest first."""
    return [Task.from_row(row) for row in sql.all("live_tasks", activation_id=activation_id)]


def stream_counts(sql: Sql, activation_id: str) -> dict[str, int]:
    """Return how many stream tasks each node of an activation has, including ended ones."""
    return {row["node"]: row["count"] for row in sql.all("stream_counts", activation_id=activation_id)}


def live_count(sql: Sql) -> int:
    """Return how many tasks have not ended, in all activations; daemons do not count."""
    row = sql.one("live_task_count")
    return 0 if row is None else int(row["count"])


def busy_slots(sql: Sql, place: str) -> int:
    """Return how many message tasks hold a worker slot of a place, in all activations."""
    row = sql.one("busy_slots", place=place)
    return 0 if row is None else int(row["count"])


def attempts(sql: Sql, task_id: int) -> list[Attempt]:
    """Return the attempts of a task, oldest first."""
    return [Attempt.from_row(row) for row in sql.all("attempts_of_task", task_id=task_id)]


def attempt(sql: Sql, task_id: int, number: int) -> Attempt | None:
    """Return one attempt of a task, or None."""
    row = sql.one("attempt", task_id=task_id, attempt=number)
    return None if row is None else Attempt.from_row(row)


def start(tx: Tx, task: Task, executor: str) -> Task | None:
    """Move a task from QUEUED to STARTING with a new attempt; return it as it is now, or None when it may not start."""
    if not tx.run("start_task", task_id=task.task_id, place=executor, at=time.time(), moment=steady()):
        return None
    tx.run("delete_held", task_id=task.task_id)
    tx.run("insert_attempt", task_id=task.task_id, attempt=task.attempt + 1, executor=executor, started_at=time.time())
    _moved(tx, task, TaskState.STARTING, attempt=task.attempt + 1)
    return find(tx, task.task_id)


def activate(tx: Tx, task: Task, handle: str) -> None:
    """Move a task from STARTING to ACTIVE: the executor accepted the attempt and gave a handle."""
    tx.run("set_handle", task_id=task.task_id, attempt=task.attempt, handle=handle)
    if tx.run("activate_task", task_id=task.task_id, attempt=task.attempt):
        _moved(tx, task, TaskState.ACTIVE, attempt=task.attempt)


def postpone(tx: Tx, task: Task, begun_at: float) -> None:
    """Start the current attempt's timeout at `begun_at`, by the monotonic clock."""
    tx.run("postpone_task", task_id=task.task_id, attempt=task.attempt, begun_at=begun_at)


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How an attempt ended."""

    exit_code: int | None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Again:
    """How a task goes on after an attempt."""

    lost: bool = False
    failures: int = 0  # attempts that got no further than `failed_at`
    failed_at: str = ""
    careful: str = "{}"  # {channel: [first, end, step]}: records that may have killed it, see engine/suspects
    not_before_at: float = 0.0


def requeue(tx: Tx, task: Task, ending: Ending, again: Again, *, cause: str = "") -> bool:
    """Move a task from STARTING or ACTIVE back to QUEUED: the attempt ended, and attempts or records are left."""
    values: dict[str, object] = {**vars(again), "lost": int(again.lost)}
    moved = tx.run("requeue_task", task_id=task.task_id, attempt=task.attempt, cause=cause, **values)
    if not moved:
        return False
    _end_attempt(tx, task, ending)
    _moved(tx, task, TaskState.QUEUED, attempt=task.attempt, reason=cause)
    if task.worker:  # the other workers may be waiting for what it would leave to them
        tx.effects.told.update(lease.channel_id for lease in leases.held(tx, task.task_id))
    return True


def halve(tx: Tx, task: Task, name: str, tried: int) -> None:
    """Let a new task, QUEUED, have the second half of the records of a task; these have had `tried` attempts."""
    assert task.record_offset is not None
    half = task.records // 2
    (lease,) = leases.held(tx, task.task_id)
    tx.run("shrink_task", task_id=task.task_id, records=half, tried=tried)
    other = NewTask(
        project_id=task.project_id,
        name=name,
        activation_id=task.activation_id,
        node=task.node,
        skill_name=task.skill_name,
        action_name=task.action_name,
        receives=task.receives,
        channel_id=task.channel_id,
        record_offset=task.record_offset + half,
        records=task.records - half,
        tried=tried,
        hops=task.hops,
    )
    leases.split(tx, lease, lease.first + half, create(tx, other))


def note_left(tx: Tx, task_id: int, number: int, left_at: str | None, *, raised: str = "") -> None:
    """Note where an attempt is, as JSON: at a record [channel, offset], at several [channel, first, end], or None: at none.

    `raised` is the exception that it ends with there.
    """
    tx.run("note_left", task_id=task_id, attempt=number, left_at=left_at, raised=raised)


def end_calls(tx: Tx, activation_id: str) -> None:
    """End the call tasks of a completed activation."""
    tx.run("end_calls", activation_id=activation_id, ended_at=time.time())


def newest_daemon(sql: Sql, task: Task) -> Task | None:
    """Return the daemon that a task calls, or called last."""
    row = sql.one("newest_daemon", project_id=task.project_id, skill_name=task.skill_name, action_name=task.action_name)
    return None if row is None else Task.from_row(row)


def daemons(sql: Sql) -> list[Task]:
    """Return the tasks of all daemons that have not ended."""
    return [Task.from_row(row) for row in sql.all("live_daemons")]


def end(tx: Tx, task: Task, state: TaskState, ending: Ending, *, cause: str = "") -> bool:
    """End a task; return False when it had ended, or its attempt is not the current one."""
    moved = tx.run(
        "end_task",
        task_id=task.task_id,
        attempt=task.attempt,
        state=state.value,
        cause=cause,
        exit_code=ending.exit_code,
        ended_at=time.time(),
    )
    if not moved:
        return False
    _end_attempt(tx, task, ending)
    _moved(tx, task, state, exitCode=ending.exit_code, cause=cause)
    return True


def ask_cancel(tx: Tx, task: Task, cause: str) -> bool:
    """Set the flag that asks for cancellation; return False when the task has ended or the flag was set before."""
    asked = bool(tx.run("ask_task_cancel", task_id=task.task_id, cause=cause))
    if asked:
        tx.effects.look.add(task.subject)
        body = {"name": task.name, "node": task.node, "cause": cause}
        events.record(
            tx,
            "task.cancel",
            project_id=task.project_id,
            activation_id=task.activation_id,
            task_id=task.task_id,
            **body,
        )
    return asked


def condemn(tx: Tx, task_id: int, number: int, cause: str) -> None:
    """Fail the task with this cause however its attempt exits: the attempt broke a rule."""
    task = find(tx, task_id)
    if task is not None and tx.run("condemn_task", task_id=task_id, attempt=number, cause=cause):
        body = {"name": task.name, "node": task.node, "cause": cause}
        events.record(
            tx, "task.condemned", project_id=task.project_id, activation_id=task.activation_id, task_id=task_id, **body
        )


def _end_attempt(tx: Tx, task: Task, ending: Ending) -> None:
    tx.run(
        "end_attempt",
        task_id=task.task_id,
        attempt=task.attempt,
        ended_at=time.time(),
        exit_code=ending.exit_code,
        reason=ending.reason,
    )


def _moved(tx: Tx, task: Task, state: TaskState, **body: object) -> None:
    _event(tx, task.project_id, task.activation_id, task.task_id, state, name=task.name, node=task.node, **body)


def _event(tx: Tx, project_id: str, activation_id: str | None, task_id: int, state: TaskState, **body: object) -> None:
    events.record(
        tx, f"task.{state.value}", project_id=project_id, activation_id=activation_id, task_id=task_id, **body
    )

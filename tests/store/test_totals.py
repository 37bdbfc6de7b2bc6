"""Totals of ended tasks and dead records, which are kept when they end, equal the sums of their rows."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path

from fabric_jobs.records import Task
from fabric_jobs.states import FINAL_TASK_STATES, TaskState
from fabric_jobs.store import Store, Tx, commits, dead_letters, tasks
from fabric_jobs.store.audit import audit
from fabric_jobs.store.connection import schema_steps
from fabric_jobs.store.dead_letters import NewDeadLetter
from fabric_jobs.store.sent import Sent
from fabric_jobs.store.tasks import Again, Ending
from fabric_jobs.store.totals import NodeTotals, by_node
from tests.factories import PROJECT, add_activation, add_channel, add_task, append, found, started

ENDS = sorted(FINAL_TASK_STATES)


def counted(store: Store, activation_id: str) -> dict[str, NodeTotals]:
    """Compute the totals from every row."""
    rows = store.read.connection.execute("select * from tasks where activation_id = ?", [activation_id]).fetchall()
    totals = {}
    for node in {row["node"] for row in rows}:
        own = [row for row in rows if row["node"] == node]
        totals[node] = NodeTotals(
            states={state: count for state in TaskState if (count := sum(row["state"] == state for row in own))},
            sent=sum(row["sent"] for row in own),
            started_at=min((row["started_at"] for row in own if row["started_at"] is not None), default=None),
            ended_at=max((row["ended_at"] for row in own if row["ended_at"] is not None), default=None),
        )
    return totals


def live(store: Store, task: Task, chosen: random.Random) -> None:
    """Give a task some attempts, and perhaps an end."""
    for _ in range(chosen.randrange(3)):
        task = started(store, task)
        if chosen.random() < 0.3:
            store.write(partial(tasks.requeue, task=task, ending=Ending(exit_code=1), again=Again())).result()
            task = found(store, task.task_id)
            continue
        store.write(partial(commits.publish, task=task, sent=Sent(output="out", count=2, bytes=b"1\n2\n"))).result()
        break
    if chosen.random() < 0.7:
        state = TaskState(chosen.choice(ENDS)) if task.state is TaskState.ACTIVE else TaskState.CANCELLED
        store.write(partial(end, task=task, state=state)).result()


def end(tx: Tx, task: Task, state: TaskState) -> None:
    tasks.end(tx, task, state, Ending(exit_code=0))
    if state is TaskState.COMPLETE:
        commits.publish(tx, task, Sent(output="out", count=1, bytes=b"1\n"))  # what it printed


def test_totals_agree_with_what_is_counted(store: Store) -> None:
    chosen = random.Random(7)
    for activation_id in ("a1", "a2"):
        add_activation(store, activation_id)
        for number in range(20):
            node = chosen.choice(("a.in", "b.in"))
            live(store, add_task(store, node, f"{activation_id}-{number}", activation_id=activation_id), chosen)
    for activation_id in ("a1", "a2"):
        assert by_node(store.read, activation_id) == counted(store, activation_id)
    assert not [text for text in audit(store.path).violations if "totals" in text]


def test_dead_records_are_counted_where_they_lie(store: Store) -> None:
    add_activation(store)
    channel_id = add_channel(store, "a.in", "b.in", wire=0)
    append(store, [1, 2, 3])
    task = add_task(store)

    def keep(offset: int) -> None:
        error = {"reason": "why not"}
        new = NewDeadLetter(
            project_id=PROJECT, activation_id="a1", channel_id=channel_id, record_offset=offset, task_id=task.task_id,
            skill_name="b", error=error, on_error="continue", attempts=1,
        )  # fmt: skip
        store.write(lambda tx: dead_letters.keep(tx, new)).result()

    def dead() -> int:
        return int(store.read.connection.execute("select dead from channels").fetchone()[0])

    for offset in (0, 2, 2):  # the second time it exists
        keep(offset)
    assert dead() == 2
    letter = dead_letters.find(store.read, PROJECT, 1)
    assert letter is not None
    store.write(lambda tx: dead_letters.drop(tx, letter)).result()
    assert dead() == 1


def test_what_ended_before_totals_were_kept_is_counted_once(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with closing(sqlite3.connect(path)) as older:
        for step in schema_steps()[:3]:
            older.executescript(step.read_text())
        older.executescript("""
            pragma user_version = 3;
            insert into activations (activation_id, project_id, kind, name, entry, pins, state, session_id, correlation_id,
              username, workspace, payload, properties, headers, started_at)
            values ('a1', 'p', 'skill', 's', 'in', '{}', 'PENDING', 'a1', 'a1', 'me', '', x'', '{}', '{}', 1.0);
            insert into channels (project_id, activation_id, wire, sending_id, output, node)
            values ('p', 'a1', 0, 'x', 'out', 'b.in');
            insert into tasks (project_id, name, activation_id, node, skill_name, action_name, receives, state, sent,
              created_at, started_at, ended_at)
            values ('p', 't1', 'a1', 'b.in', 'b', 'b', 'message', 'COMPLETE', 2, 1.0, 2.0, 3.0),
              ('p', 't2', 'a1', 'b.in', 'b', 'b', 'message', 'ACTIVE', 1, 1.0, 1.5, null);
            insert into dead_letters (project_id, activation_id, channel_id, record_offset, task_id, skill_name, payload,
              error, on_error, attempts, dead_at)
            values ('p', 'a1', 1, 0, 1, 'b', x'', '{}', 'continue', 1, 1.0);
        """)
    store = Store(path)
    assert by_node(store.read, "a1") == counted(store, "a1")
    assert [row["dead"] for row in store.read.all("channels_of_activation", activation_id="a1")] == [1]
    store.close()

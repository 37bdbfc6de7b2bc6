"""Deletes message and batch tasks that went well, except for the newest; their totals stay (docs/howto/operate-the-state.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fabric_jobs.store.sql import Sql
from fabric_jobs.store.writer import Tx


@dataclass(frozen=True, slots=True)
class Uneventful:
    """A task that was COMPLETE with its first attempt."""

    task_id: int
    name: str
    sent: int


def uneventful(sql: Sql, activation_id: str, node: str, kept: int) -> list[Uneventful]:
    """Return the tasks of a node that went well, except for the newest `kept`; newest first."""
    rows = sql.all("uneventful_tasks", activation_id=activation_id, node=node, kept=kept)
    return [Uneventful(row["task_id"], row["name"], row["sent"]) for row in rows]


def delete(tx: Tx, activation_id: str, node: str, tasks: Sequence[Uneventful]) -> None:
    """Delete tasks with their attempts, keys and events. Their numbers are not used again, since newer ones are kept."""
    gone = []
    for task in tasks:
        tx.run("trim_message_keys", task_id=task.task_id)
        tx.run("trim_attempts", task_id=task.task_id)
        if tx.run("trim_task", task_id=task.task_id):
            gone.append(task)
    if gone:
        tx.run("trim_events", activation_id=activation_id, task_id=max(task.task_id for task in gone))
        count, sent = len(gone), sum(task.sent for task in gone)
        tx.run("count_trimmed", activation_id=activation_id, node=node, count=count, sent=sent)

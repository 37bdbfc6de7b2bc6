"""What executors have to say of attempts beside their output."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from fabric_jobs.errors import ExecutorUnavailable
from fabric_jobs.executors.base import Note
from fabric_jobs.gateway.parts import Parts
from fabric_jobs.records import Task
from fabric_jobs.states import TaskState
from fabric_jobs.store import attempts, tasks

RUNNING = (TaskState.STARTING, TaskState.ACTIVE)


def by_node(parts: Parts, activation_id: str) -> dict[str, Note]:
    """Return the notes of an activation by node: what one of the attempts is doing, and the remarks of all."""
    found: dict[str, Note] = {}
    for node, handle in attempts.recent(parts.store.read, activation_id):
        note, before = _note(parts, handle), found.get(node, Note())
        remarks = tuple(dict.fromkeys((*before.remarks, *note.remarks)))
        found[node] = Note(doing=before.doing or note.doing, remarks=remarks)
    return found


def of_task(parts: Parts, task: Task) -> dict[str, Any]:
    """Return the keys `note` and `remarks` of a task."""
    attempt = tasks.attempt(parts.store.read, task.task_id, task.attempt)
    handle = attempt.handle if attempt is not None else None
    note = _note(parts, handle) if handle else Note()
    return {"note": note.doing if task.state in RUNNING else "", "remarks": list(note.remarks)}


def _note(parts: Parts, handle: str) -> Note:
    with suppress(ExecutorUnavailable):  # what cannot be asked has nothing to say
        return parts.executor.note(handle)
    return Note()

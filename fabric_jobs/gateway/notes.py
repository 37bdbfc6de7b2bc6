"""Notes and remarks of executors about attempts."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from fabric_jobs.errors import ExecutorUnavailable
from fabric_jobs.executors.base import Note
from fabric_jobs.gateway.parts import Parts
from fabric_jobs.records import Task
from fabric_jobs.states import TaskState
from fabric_jobs.store import activations, attempts, tasks

RUNNING = (TaskState.STARTING, TaskState.ACTIVE)


def by_node(parts: Parts, activation_id: str) -> dict[str, Note]:
    """Return the notes of an activation by node: the note of one attempt, and the remarks of all."""
    found: dict[str, Note] = {}
    activation = activations.find(parts.store.read, activation_id)
    executor = activation.executor if activation is not None else ""
    for node, handle in attempts.recent(parts.store.read, activation_id):
        note, before = _note(parts, executor, handle), found.get(node, Note())
        remarks = tuple(dict.fromkeys((*before.remarks, *note.remarks)))
        found[node] = Note(doing=before.doing or note.doing, remarks=remarks)
    for node, reason in parts.engine.troubles(activation_id).items():
        found[node] = Note(doing=f"waiting: {reason}", remarks=found.get(node, Note()).remarks)
    return found


def of_task(parts: Parts, task: Task) -> dict[str, Any]:
    """Return the keys `note` and `remarks` of a task."""
    attempt = tasks.attempt(parts.store.read, task.task_id, task.attempt)
    note = _note(parts, attempt.executor, attempt.handle) if attempt is not None and attempt.handle else Note()
    return {"note": note.doing if task.state in RUNNING else "", "remarks": list(note.remarks)}


def waits_since(parts: Parts, task: Task) -> float | None:
    """Return since when the place of a task's attempt waits for something, such as an image or a node; None if it does not."""
    attempt = tasks.attempt(parts.store.read, task.task_id, task.attempt)
    if attempt is None or not attempt.handle or not _note(parts, attempt.executor, attempt.handle).waits:
        return None
    return attempt.started_at


def _note(parts: Parts, executor: str, handle: str) -> Note:
    with suppress(ExecutorUnavailable):  # an executor that does not answer has no note
        return parts.executors[executor].note(handle)
    return Note()

"""Limits how many activations run at a time; the others wait their turn (docs/explanation/architecture.md)."""

from __future__ import annotations

from fabric_jobs.store import Store, Tx, activations, tasks


class Admission:
    """Lets a limited number of activations run, first come, first served."""

    def __init__(self, store: Store, limit: int) -> None:
        self._store = store
        self._limit = limit
        self.is_wanted = True  # an activation may be waiting

    def allows(self, tx: Tx, invoker: str) -> bool:
        """Return whether a new activation may run now; if not, look again when another one ends.

        `invoker` names the attempt that invokes it, `<task_id>-<attempt>`, or is empty. An activation that a running task
        invokes never waits, since the task may be waiting for it.
        """
        if is_running(tx, invoker) or activations.has_room(tx, self._limit):
            return True
        self.is_wanted = True
        return False

    def let_in(self) -> None:
        """Let the next activations run; their events wake the engine."""
        self.is_wanted = False
        self._store.write(lambda tx: activations.admit(tx, self._limit)).result()
        self.is_wanted = self.is_wanted or activations.some_wait(self._store.read)


def is_running(tx: Tx, invoker: str) -> bool:
    """Return whether `invoker` names the current attempt of a live task."""
    task_id, _, attempt = invoker.partition("-")
    if not (
        task_id.isascii() and task_id.isdecimal() and attempt.isascii() and attempt.isdecimal() and len(invoker) < 30
    ):
        return False
    task = tasks.find(tx, int(task_id))
    return task is not None and not task.ended and task.attempt == int(attempt)

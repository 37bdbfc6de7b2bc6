"""Limits how many activations run at a time, and lets the others in by turn (docs/explanation/architecture.md)."""

from __future__ import annotations

from fabric_jobs.store import Store, Tx, activations, tasks


class Admission:
    """Lets a limited number of activations run, in the order in which they came."""

    def __init__(self, store: Store, limit: int) -> None:
        self._store = store
        self._limit = limit
        self.is_wanted = True  # somebody may wait

    def allows(self, tx: Tx, invoker: str) -> bool:
        """Tell whether a new activation runs now; if not, the end of another one is a reason to look again.

        `invoker` names the attempt that asks for it, `<task_id>-<attempt>`, or is empty. What a task of a running activation
        invokes does not wait, since the task may wait for it.
        """
        if is_running(tx, invoker) or activations.has_room(tx, self._limit):
            return True
        self.is_wanted = True
        return False

    def let_in(self) -> None:
        """Let the next activations run; the events of this wake the engine."""
        self.is_wanted = False
        self._store.write(lambda tx: activations.admit(tx, self._limit)).result()
        self.is_wanted = self.is_wanted or activations.some_wait(self._store.read)


def is_running(tx: Tx, invoker: str) -> bool:
    """Tell whether an attempt that is named is the current one of a task that runs."""
    task_id, _, attempt = invoker.partition("-")
    if not (
        task_id.isascii() and task_id.isdecimal() and attempt.isascii() and attempt.isdecimal() and len(invoker) < 30
    ):
        return False
    task = tasks.find(tx, int(task_id))
    return task is not None and not task.ended and task.attempt == int(attempt)

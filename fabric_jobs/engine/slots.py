"""The activations that wait for a slot, first come, first served."""

from __future__ import annotations

from collections.abc import Iterator

from fabric_jobs.settings import Settings
from fabric_jobs.store import tasks
from fabric_jobs.store.sql import Sql


def free_slots(sql: Sql, settings: Settings, place: str) -> int:
    """Return how many more message tasks may start in a place, besides the one that each node always has."""
    return settings.slots_in(place) - tasks.busy_slots(sql, place)


class Slots:
    """Filled by the last decisions on each activation. Only the engine's thread uses it."""

    def __init__(self) -> None:
        self.freed = False  # a task that may have held a slot has ended
        self._waiting: dict[str, str] = {}  # activation -> place

    def note(self, activation_id: str, place: str, *, waits: bool) -> None:
        """Note whether an activation waits for a slot of its place; one that already waits keeps its turn."""
        if waits:
            self._waiting.setdefault(activation_id, place)
        else:
            self._waiting.pop(activation_id, None)

    def served(self, sql: Sql, settings: Settings) -> Iterator[str]:
        """Yield waiting activations in order while their places have slots; those that must wait again go to the end."""
        self.freed = False
        full: set[str] = set()
        for activation_id, place in [*self._waiting.items()]:
            if place not in full and free_slots(sql, settings, place) <= 0:
                full.add(place)
            if place not in full:
                self._waiting.pop(activation_id, None)
                yield activation_id

"""Who waits for a worker slot, in the order in which they came."""

from __future__ import annotations


class Slots:
    """Known from what was decided last of each activation. Only the engine's thread uses it."""

    def __init__(self) -> None:
        self.freed = False  # a task that may have held one has ended
        self._waiting: dict[str, str] = {}  # activation -> place

    def note(self, activation_id: str, place: str, *, waits: bool) -> None:
        """Take note of whether an activation waits for a slot of its place; one that did keeps its turn."""
        if waits:
            self._waiting.setdefault(activation_id, place)
        else:
            self._waiting.pop(activation_id, None)

    def take(self) -> list[tuple[str, str]]:
        """Return those that wait, and where, in their order: who is looked at and still waits is the last from then on."""
        self.freed = False
        return [*self._waiting.items()]

    def served(self, activation_id: str) -> None:
        """It is its turn."""
        self._waiting.pop(activation_id, None)

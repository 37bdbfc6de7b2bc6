"""Who waits for a worker slot, in the order in which they came."""

from __future__ import annotations


class Slots:
    """Known from what was decided last of each activation. Only the engine's thread uses it."""

    def __init__(self) -> None:
        self.freed = False  # a task that may have held one has ended
        self._waiting: dict[str, None] = {}

    def note(self, activation_id: str, *, waits: bool) -> None:
        """Take note of whether an activation waits for a slot; one that did keeps its turn."""
        if waits:
            self._waiting.setdefault(activation_id)
        else:
            self._waiting.pop(activation_id, None)

    def take(self) -> list[str]:
        """Return those that wait, and whose turn comes first: who is looked at and still waits is the last from then on."""
        self.freed = False
        return [*self._waiting]

    def served(self, activation_id: str) -> None:
        """It is its turn."""
        self._waiting.pop(activation_id, None)

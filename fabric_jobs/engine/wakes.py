"""Wakes the engine: for another thread, or at a given time."""

from __future__ import annotations

from queue import Empty, SimpleQueue

from fabric_jobs.clock import steady


class Wakes:
    """The activations to look at. `put`, `put_at` and `end` may be called from every thread, the rest by the one that waits."""

    def __init__(self) -> None:
        self._inbox: SimpleQueue[str | tuple[str, float] | None] = SimpleQueue()
        self._timers: dict[str, float] = {}  # activation -> when to look at it, by the monotonic clock

    def put(self, activation_id: str) -> None:
        """Something may have changed for an activation."""
        self._inbox.put(activation_id)

    def put_at(self, activation_id: str, moment: float) -> None:
        """Look at an activation at a moment of the monotonic clock."""
        self._inbox.put((activation_id, moment))

    def end(self) -> None:
        """Let `wait` return None."""
        self._inbox.put(None)

    def at(self, activation_id: str, moment: float) -> None:
        """Look at an activation at a moment of the monotonic clock, if nothing wakes it before."""
        self._timers[activation_id] = min(moment, self._timers.get(activation_id, moment))

    def wait(self) -> list[str] | None:
        """Wait for a word or a moment; return the activations to look at, None to end."""
        found: dict[str, None] = {}
        try:
            item = self._inbox.get(timeout=self._until_timer())
            while True:
                if item is None:
                    return None
                if isinstance(item, tuple):
                    self.at(*item)
                else:
                    found[item] = None
                item = self._inbox.get_nowait()
        except Empty:
            now = steady()
            for activation_id in [key for key, moment in self._timers.items() if moment <= now]:
                del self._timers[activation_id]
                found[activation_id] = None
            return list(found)

    def _until_timer(self) -> float | None:
        if not self._timers:
            return None
        return max(0.0, min(self._timers.values()) - steady())

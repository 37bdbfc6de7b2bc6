"""Wakes the engine: for another thread, or at a given time."""

from __future__ import annotations

from queue import Empty, SimpleQueue

from fabric_jobs.clock import steady


class Wakes:
    """The activations to look at. Any thread may call `put`, `put_at` and `end`; only the waiting one may call the rest."""

    def __init__(self) -> None:
        self._inbox: SimpleQueue[str | tuple[str, float] | None] = SimpleQueue()
        self._timers: dict[str, float] = {}  # activation -> when to look at it, by the monotonic clock

    def put(self, activation_id: str) -> None:
        """Wake the engine for an activation that may have changed."""
        self._inbox.put(activation_id)

    def put_at(self, activation_id: str, moment: float) -> None:
        """Wake the engine for an activation at a time of the monotonic clock."""
        self._inbox.put((activation_id, moment))

    def end(self) -> None:
        """Make `wait` return None."""
        self._inbox.put(None)

    def at(self, activation_id: str, moment: float) -> None:
        """Set a timer for an activation, by the monotonic clock, or keep an earlier one."""
        self._timers[activation_id] = min(moment, self._timers.get(activation_id, moment))

    def wait(self) -> list[str] | None:
        """Wait for a wake-up or a timer; return the activations to look at, or None to end."""
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

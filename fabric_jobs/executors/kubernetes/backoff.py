"""Says when to ask a cluster again about something that may last: soon at first, then less and less often."""

from __future__ import annotations

MOST_SECONDS = 30.0


class Backoff:
    """How often one question is asked. Times are by the loop's clock."""

    def __init__(self, first: float) -> None:
        """Ask for the first time after `first` seconds."""
        self._first = self._pause = first
        self._at: float | None = None  # when to ask

    @property
    def is_on(self) -> bool:
        """Whether there is something to ask about."""
        return self._at is not None

    def left(self, now: float) -> float:
        """Return in how many seconds to ask; 0: now. The first call begins to count."""
        if self._at is None:
            self._pause, self._at = self._first, now + self._first
        return max(0.0, self._at - now)

    def asked(self, now: float) -> float:
        """Note that it was asked; return in how many seconds to ask again."""
        pause, self._pause = self._pause, min(2 * self._pause, MOST_SECONDS)
        self._at = now + pause
        return pause

    def end(self) -> None:
        """Begin anew with the next call of `left`."""
        self._at = None

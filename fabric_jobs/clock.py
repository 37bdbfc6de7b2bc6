"""The monotonic clock for waits; changes of the system time do not affect it. And how long this process has been awake."""

from __future__ import annotations

import time

_START = time.time() - time.monotonic()
GAP_SECONDS = 5.0  # between two clocks, more than corrections of the time of day make in a few minutes


def steady() -> float:
    """Return seconds since 1970: the time of day when this process began, plus the time that has passed since.

    Backoffs, deadlines and timers use it, so that a change of the system time neither extends nor skips a wait. Stored values
    are compared with the time of day after a restart. Times for people come from `time.time()`.
    """
    return _START + time.monotonic()


class Awake:
    """For how long this process could hear others: since it began, or since its machine was suspended last."""

    def __init__(self) -> None:
        self._since = time.monotonic()  # which does not pass while the machine is suspended
        self._ahead = _ahead()

    def seconds(self) -> float:
        """Return it."""
        ahead = _ahead()
        if abs(ahead - self._ahead) > GAP_SECONDS:
            self._since = time.monotonic()
        self._ahead = ahead
        return time.monotonic() - self._since


def _ahead() -> float:
    """Return by how much the time of day is ahead of the monotonic clock."""
    return time.time() - time.monotonic()

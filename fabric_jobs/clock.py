"""The monotonic clock for waits; changes of the system time do not affect it."""

from __future__ import annotations

import time

_START = time.time() - time.monotonic()


def steady() -> float:
    """Return seconds since 1970: the time of day when this process began, plus the time that has passed since.

    Backoffs, deadlines and timers use it, so that a change of the system time neither extends nor skips a wait. Stored values
    are compared with the time of day after a restart. Times for people come from `time.time()`.
    """
    return _START + time.monotonic()

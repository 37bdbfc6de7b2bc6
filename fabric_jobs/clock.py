"""The monotonic clock for waits, which changes of the system time do not affect."""

from __future__ import annotations

import time

_START = time.time() - time.monotonic()


def steady() -> float:
    """Return seconds since 1970: the time of day as this process began, and from there on the time that has passed.

    Backoffs, deadlines and timers use it, so that a step of the time of day neither stops nor skips a wait. What it gives is
    stored as any other time is: after a restart it is compared with the time of day of then. What people read is `time.time()`.
    """
    return _START + time.monotonic()

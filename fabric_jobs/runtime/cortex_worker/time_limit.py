"""Ends code that takes too long."""

from __future__ import annotations

import faulthandler
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

GRACE_SECONDS = 10.0  # code in C is not interrupted; the process is ended this long after the limit


class TimeIsUp(BaseException):
    """The code took too long. Code that catches all of `Exception` does not catch this."""


@contextmanager
def at_most(seconds: float | None) -> Iterator[None]:
    """Raise TimeIsUp in the block after so many seconds, or end the process when that has no effect. Main thread only."""
    if not seconds:
        yield
        return

    def ring(number: int, frame: FrameType | None) -> None:
        raise TimeIsUp(f"it took longer than {seconds:g} seconds")

    before = signal.signal(signal.SIGALRM, ring)
    faulthandler.dump_traceback_later(seconds + GRACE_SECONDS, exit=True)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        yield
    finally:
        try:
            signal.setitimer(signal.ITIMER_REAL, 0)
        finally:
            faulthandler.cancel_dump_traceback_later()
            signal.signal(signal.SIGALRM, before)

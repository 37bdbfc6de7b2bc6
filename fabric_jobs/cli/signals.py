"""Makes SIGTERM (from CI and systemd) and SIGHUP (from a closing terminal) end a command as Ctrl-C does."""

from __future__ import annotations

import signal
import time
from types import FrameType

# `timeout` sends its signal twice, as do a closing terminal and its shell. A signal that follows so soon is not a second one.
ECHO_SECONDS = 0.3


class Stopped(KeyboardInterrupt):
    """A signal other than Ctrl-C's."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def stop_like_ctrl_c() -> None:
    """Make both signals raise Stopped, unless one is ignored, as under `nohup`. Call it in the main thread only."""
    last = -ECHO_SECONDS

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal last
        before, last = last, time.monotonic()
        if last - before >= ECHO_SECONDS:
            raise Stopped(number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, stop)


def exit_code_of(interrupt: BaseException) -> int:
    """Return 128 plus the number of the signal, also for Ctrl-C, which click may have wrapped."""
    found = interrupt if isinstance(interrupt, Stopped) else interrupt.__cause__
    return 128 + (found.number if isinstance(found, Stopped) else signal.SIGINT)

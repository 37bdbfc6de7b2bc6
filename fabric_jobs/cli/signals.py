"""Lets SIGTERM (from CI and systemd) and SIGHUP (from a closing terminal) end a command as Ctrl-C does."""

from __future__ import annotations

import signal
import time
from types import FrameType

# `timeout` sends its signal twice, and so do a terminal and its shell when they close: what follows so soon is no second thought.
ECHO_SECONDS = 0.3


class Stopped(KeyboardInterrupt):
    """A signal other than that of Ctrl-C."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def stop_like_ctrl_c() -> None:
    """Let both signals raise Stopped; one that is ignored stays so, as below `nohup`. Only in the main thread."""
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
    """Return 128 and the number of the signal; of Ctrl-C too, which click may have wrapped."""
    found = interrupt if isinstance(interrupt, Stopped) else interrupt.__cause__
    return 128 + (found.number if isinstance(found, Stopped) else signal.SIGINT)

"""Makes programs start with default signals, however the process that starts them was started."""

from __future__ import annotations

import signal
from types import FrameType


def unignore() -> None:
    """Let what this process starts have the default dispositions and an empty signal mask. Only in the main thread.

    `nohup`, cron and `&` in a script start commands that ignore some signals, and what is ignored is inherited. A handler does
    not outlive `exec`: with one that does nothing, the signal is still ignored here, and at its default there. The signals that
    Python itself ignores are those that `subprocess` restores.
    """
    for number in signal.valid_signals() - {signal.SIGPIPE, signal.SIGXFSZ}:
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, _ignored)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def is_ignored(number: int) -> bool:
    """Tell whether this process ignores a signal, also after `unignore`."""
    return signal.getsignal(number) in (signal.SIG_IGN, _ignored)


def _ignored(number: int, frame: FrameType | None) -> None:
    """Do nothing."""

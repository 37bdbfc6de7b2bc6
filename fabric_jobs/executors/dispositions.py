"""Makes programs start with default signals, however this process itself was started."""

from __future__ import annotations

import signal
from types import FrameType


def unignore() -> None:
    """Start programs with default dispositions and an empty signal mask. Call it only in the main thread.

    `nohup`, cron and `&` in a script start commands that ignore some signals, and programs inherit that. But `exec` resets a
    handler: one that does nothing still ignores the signal here, and leaves it at its default there. `subprocess` restores
    the signals that Python itself ignores.
    """
    for number in signal.valid_signals() - {signal.SIGPIPE, signal.SIGXFSZ}:
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, _ignored)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def is_ignored(number: int) -> bool:
    """Tell whether this process ignores a signal, even after `unignore`."""
    return signal.getsignal(number) in (signal.SIG_IGN, _ignored)


def _ignored(number: int, frame: FrameType | None) -> None:
    """Do nothing."""

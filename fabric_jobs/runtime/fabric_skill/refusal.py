"""`DoNotRetry`: how a program says that a retry would fail too."""

from __future__ import annotations

import sys
from types import TracebackType

DO_NOT_RETRY = 65  # exit code; EX_DATAERR of sysexits.h


class DoNotRetry(Exception):
    """Raise this for a record that can never be handled: the program ends with exit code 65, and the record is not retried."""

    __module__ = "fabric_skill"  # where programs find it, and what a traceback shows


def _hook(kind: type[BaseException], value: BaseException, trace: TracebackType | None) -> None:
    _before(kind, value, trace)
    if isinstance(value, DoNotRetry):
        raise SystemExit(DO_NOT_RETRY)  # the interpreter exits with this code


_before = sys.excepthook
sys.excepthook = _hook

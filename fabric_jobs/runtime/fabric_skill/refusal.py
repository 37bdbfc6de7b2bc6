"""`DoNotRetry`: a program's way to say that a retry would fail too."""

from __future__ import annotations

import sys
from types import TracebackType

DO_NOT_RETRY = 65  # exit code; EX_DATAERR of sysexits.h


class DoNotRetry(Exception):
    """Raise it when a record can never be handled: the program ends with exit code 65, and the record is not tried again."""

    __module__ = "fabric_skill"  # where programs find it, and what a traceback shows


def _hook(kind: type[BaseException], value: BaseException, trace: TracebackType | None) -> None:
    _before(kind, value, trace)
    if isinstance(value, DoNotRetry):
        raise SystemExit(DO_NOT_RETRY)  # the interpreter takes it as the program's own end


_before = sys.excepthook
sys.excepthook = _hook

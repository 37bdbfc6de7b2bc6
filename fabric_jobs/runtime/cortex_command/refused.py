"""The error of this command."""

from __future__ import annotations


class Refused(Exception):
    """Something cannot be done. `kind` is that of Cortex Labs' errors, `hint` says what to do (may be empty)."""

    def __init__(self, kind: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.hint = hint

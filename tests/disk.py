"""What a program does to a disk, in its order."""

from __future__ import annotations

import os
from typing import Any

import pytest


def noted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list to which each write and each sync of a file is added from now on."""
    happened: list[str] = []
    write, sync = os.write, os.fdatasync

    def noted_write(descriptor: int, data: Any) -> int:
        happened.append("write")
        return write(descriptor, data)

    def noted_sync(descriptor: int) -> None:
        happened.append("sync")
        sync(descriptor)

    monkeypatch.setattr(os, "write", noted_write)
    monkeypatch.setattr(os, "fdatasync", noted_sync)
    return happened

"""Attempts that version 0.3.0 and earlier have started, and that still run: a shell around each program.

<root>/<name>/lock     held by the shell while it lives
              pid      of the shell, which leads the process group
              exit     the exit code, written by the shell, not synced
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from fabric_jobs import whole_file
from fabric_jobs.state_dir import is_locked


def is_one(directory: Path) -> bool:
    """Tell whether an attempt was started that way."""
    return (directory / "lock").exists() and (directory / "pid").exists()


def runs(directory: Path) -> bool:
    """Tell whether its shell lives."""
    return is_locked(directory / "lock")


def wait(directory: Path) -> None:
    """Return when its shell has ended, or its state is unknown."""
    with suppress(OSError):
        lock = os.open(directory / "lock", os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_SH)
        finally:
            os.close(lock)


def sync(directory: Path) -> None:
    """Make sure that its exit code is on the disk."""
    whole_file.sync(directory / "exit", directory)


def group(directory: Path) -> int:
    """Return the number of its shell; 0 when it is not known."""
    try:
        return int((directory / "pid").read_text())
    except (OSError, ValueError):
        return 0

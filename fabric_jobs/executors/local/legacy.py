"""Handles running attempts that version 0.3.0 or earlier has started: a shell around each program.

<root>/<name>/lock     held by the shell while it lives
              pid      of the shell, the leader of the process group
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
    """Tell whether an older version started an attempt."""
    return (directory / "lock").exists() and (directory / "pid").exists()


def runs(directory: Path) -> bool:
    """Tell whether its shell lives."""
    return is_locked(directory / "lock")


def wait(directory: Path) -> None:
    """Wait until its shell has ended, or its state is unknown."""
    with suppress(OSError):
        lock = os.open(directory / "lock", os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_SH)
        finally:
            os.close(lock)


def sync(directory: Path) -> None:
    """Sync its exit code to the disk."""
    whole_file.sync(directory / "exit", directory)


def group(directory: Path) -> int:
    """Return the process id of its shell; 0 if unknown."""
    try:
        return int((directory / "pid").read_text())
    except (OSError, ValueError):
        return 0

"""Writes a file atomically: a reader sees the old contents or all of the new."""

from __future__ import annotations

import os
from pathlib import Path

PRIVATE = 0o600  # what may hold a token is for its user only
SHARED = 0o666  # less the user's umask: what goes with the sources


def write(path: Path, content: str | bytes, *, mode: int = PRIVATE, durable: bool = False) -> None:
    """Make a file, or replace the one that is there; a durable one survives a loss of power. Raise OSError."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        with open(os.open(partial, flags, mode), "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode())
            if durable:
                file.flush()
                os.fsync(file.fileno())
        partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)  # where it has not become the file: the disk was full, or Ctrl-C was pressed
    if durable:
        sync(path.parent)


def sync(*paths: Path) -> None:
    """Make sure that files or directories, as they are now, survive a loss of power; for what was synced before it costs little."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

"""Writes files as a whole: readers see the old contents or all of the new; what is appended is there, or not."""

from __future__ import annotations

import io
import os
from pathlib import Path

PRIVATE = 0o600  # for files that may hold a token
SHARED = 0o666  # reduced by the umask: for files beside the sources


def write(path: Path, content: str | bytes, *, mode: int = PRIVATE, durable: bool = False) -> None:
    """Create or replace a file; with `durable`, it survives a power loss. Raises OSError."""
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
        partial.unlink(missing_ok=True)  # left over after a full disk or Ctrl-C
    if durable:
        sync(path.parent)


def append(file: io.FileIO, text: bytes) -> None:
    """Append all of a text to a file without a buffer, or nothing of it. Raises OSError."""
    size, rest = os.fstat(file.fileno()).st_size, memoryview(text)
    try:
        while rest:
            rest = rest[file.write(rest) :]
    except OSError:
        file.truncate(size)
        raise


def sync(*paths: Path) -> None:
    """Make files and directories, as they are now, survive a power loss; cheap for what was synced before."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

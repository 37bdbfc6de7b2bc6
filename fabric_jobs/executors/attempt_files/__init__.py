"""Files of an attempt that prove something: they are on the disk, whole, before anybody acts on them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fabric_jobs.errors import ExecutorUnavailable


@contextmanager
def used(directory: Path) -> Iterator[None]:
    """Turn an OSError into ExecutorUnavailable: out of descriptors, or with a bad disk, nobody can tell how an attempt is."""
    try:
        yield
    except OSError as error:
        raise ExecutorUnavailable(f"attempt {directory.name} cannot be looked at: {error}.") from error


def write(path: Path, text: str) -> None:
    """Write a file that only this user may read, durably: it is there as a whole, or as it was, whatever comes between."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.rename(path)
    sync(path.parent)


def mark(path: Path) -> None:
    """Make an empty file, durably."""
    path.touch(0o600)
    sync(path.parent)


def sync(*paths: Path) -> None:
    """See to it that files or directories, as they are now, survive a loss of power; for what was synced before it costs little."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

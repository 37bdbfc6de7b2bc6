"""Files that record facts about an attempt. They are complete and synced before anybody acts on them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fabric_jobs import whole_file
from fabric_jobs.errors import ExecutorUnavailable


@contextmanager
def used(directory: Path) -> Iterator[None]:
    """Turn an OSError into ExecutorUnavailable: out of descriptors, or with a bad disk, the state of an attempt is unknown."""
    try:
        yield
    except OSError as error:
        raise ExecutorUnavailable(f"attempt {directory.name} cannot be read: {error}.") from error


def mark(path: Path) -> None:
    """Make an empty file, durably."""
    path.touch(0o600)
    whole_file.sync(path.parent)

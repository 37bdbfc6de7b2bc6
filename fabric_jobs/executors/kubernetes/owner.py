"""Keeps the mark by which a state directory knows its objects in a cluster."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import secrets
import socket
from pathlib import Path
from typing import BinaryIO, NamedTuple

from fabric_jobs import whole_file

FILE = "kubernetes-owner"  # in the state directory
log = logging.getLogger(__name__)


class _Mark(NamedTuple):
    """What the file says."""

    mark: str
    place: str  # of the state: host name and path; in a cluster the path, since pods are replaced
    file: list[int]  # device and inode of the file itself

    def is_of(self, other: _Mark) -> bool:
        """Return whether this is the same state: it may have been moved, or its machine renamed. A copy is another one."""
        return self.place == other.place or self.file == other.file


def owner_of(root: Path) -> str:
    """Return the mark; `root` is in the state directory. A copy of a state directory gets a mark of its own. Raises OSError."""
    path = root.parent / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    with open(os.open(path, flags, whole_file.PRIVATE), "r+b", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        found = os.fstat(file.fileno())
        host = "" if "KUBERNETES_SERVICE_HOST" in os.environ else socket.gethostname()
        here = _Mark(secrets.token_hex(5), f"{host} {root.resolve()}", [found.st_dev, found.st_ino])
        before = _read(file)
        if before is not None and before.is_of(here):
            here = here._replace(mark=before.mark)
        elif before is not None:
            log.warning("%s was copied: pods that the original has started are not followed here", path.parent)
        if here != before:
            _write(file, here)
            whole_file.sync(path.parent)
    return here.mark


def _read(file: BinaryIO) -> _Mark | None:
    try:
        found = _Mark(*json.loads(file.read()))
    except (ValueError, TypeError):
        return None
    return found if isinstance(found.mark, str) else None


def _write(file: BinaryIO, mark: _Mark) -> None:
    """Write in place, so that the file stays the same one."""
    text = json.dumps(mark).encode()
    os.pwrite(file.fileno(), text, 0)
    os.ftruncate(file.fileno(), len(text))
    os.fsync(file.fileno())

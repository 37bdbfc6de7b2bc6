"""Blobs as files of a directory, each named by its SHA-256."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from fabric_jobs import whole_file
from fabric_jobs.blobs.incoming import unwritable
from fabric_jobs.errors import PlaceUnavailable, RecordsDamaged

NAME = re.compile(r"[0-9a-f]{64}")


class Directory:
    """A `Shelf` on a disk: DIRECTORY/ab/ab12…"""

    is_local = True

    def __init__(self, root: Path) -> None:
        """`root` is made when it is first needed."""
        self._root = root

    def keep(self, path: Path, sha256: str) -> None:
        """Move a complete file of this disk to its name, durably; it replaces an equal or a damaged one."""
        target = self.path_of(sha256)
        try:
            with suppress(FileExistsError):
                target.parent.mkdir(mode=0o700)
                whole_file.sync(self._root, self._root.parent)
            path.rename(target)
            whole_file.sync(target.parent)
        except OSError as error:
            raise unwritable(target, error) from error

    def read(self, sha256: str, at: int, size: int) -> bytes:
        """Return bytes from `at` on, fewer if the file ends before."""
        path = self.path_of(sha256)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                return _read(descriptor, at, size)
            finally:
                os.close(descriptor)
        except FileNotFoundError as error:
            raise RecordsDamaged(
                f"content is missing: there is no file {path}.", hint="Restore the file, or upload the content again."
            ) from error
        except OSError as error:
            raise PlaceUnavailable(f"{path} cannot be read: {error.strerror or error}.") from error

    def sizes(self) -> Iterator[tuple[str, int]]:
        """Yield the name and the size of each blob."""
        with suppress(FileNotFoundError), os.scandir(self._root) as places:
            for place in sorted(entry.path for entry in places if len(entry.name) == 2):
                with suppress(OSError), os.scandir(place) as entries:
                    for entry in entries:
                        if NAME.fullmatch(entry.name):
                            yield entry.name, entry.stat(follow_symlinks=False).st_size

    def remove(self, sha256: str) -> None:
        """Remove a blob; one that is gone already is none."""
        path = self.path_of(sha256)
        with suppress(OSError):
            path.unlink()
            path.parent.rmdir()  # if it is empty

    def claim(self) -> None:
        """Do nothing: the lock of the state directory says whose it is."""

    def path_of(self, sha256: str) -> Path:
        """Return the path of a blob."""
        assert NAME.fullmatch(sha256), sha256
        return self._root / sha256[:2] / sha256


def _read(descriptor: int, at: int, size: int) -> bytes:
    data = os.pread(descriptor, size, at)
    while len(data) < size and (more := os.pread(descriptor, size - len(data), at + len(data))):
        data += more
    return data

"""Files of records: only this module opens, verifies, appends, syncs, unlinks and sweeps them (docs/explanation/channels.md).

A row refers to a range of a file. Files are only appended to, and the bytes are synced before the transaction that refers to
them is committed. A file is unlinked after the transaction that removed the last reference to it. Bytes after the last range
are ignored.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
import threading
from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

from fabric_jobs.errors import InvalidInput, RecordsDamaged
from fabric_jobs.routing import sending_id

OWN = "owner"  # its subdirectory for files that the owner itself writes
INLINE_BYTES = 4096  # up to this size, bytes are stored in the row itself
ROTATE_BYTES = 64 << 20  # at this size a new file begins
PIECE_BYTES = 512 << 10  # of one reference, about: reading one of its records reads all of it
FULL = (errno.ENOSPC, errno.EDQUOT)


class Unwritable(OSError):
    """The disk rejects or loses what the owner appends."""


@dataclass(frozen=True, slots=True)
class Ref:
    """A range of a file."""

    directory: Path  # of records
    name: str  # of the file in it
    at: int
    size: int
    crc: int

    def read(self) -> bytes:
        """Return the bytes; raise RecordsDamaged when they differ from those stored."""
        try:
            data = _read(self.directory / self.name, self.at, self.size)
        except OSError as error:
            raise self._damaged(error.strerror or str(error)) from error
        if len(data) < self.size:
            raise self._damaged(f"it ends before byte {self.at + self.size}")
        if crc32(data) != self.crc:
            raise self._damaged(f"bytes {self.at} to {self.at + self.size} differ from those that were stored")
        return data

    def _damaged(self, what: str) -> RecordsDamaged:
        return RecordsDamaged(
            f"records cannot be read from {self.directory / self.name}: {what}.",
            hint="Restore the file; `fabric-jobs state check` finds everything that is damaged.",
        )


class RecordFiles:
    """The files of one state directory. Only the writer's thread may append."""

    def __init__(self, directory: Path, *, inline_bytes: int = INLINE_BYTES) -> None:
        """`directory` is made when it is first needed. Up to `inline_bytes` are stored in a row, not in a file."""
        self.directory = directory
        self.inline_bytes = inline_bytes
        self.current = ""  # the file that the owner appends to
        self._descriptor = -1
        self._end = self._synced = 0
        self._unused: list[str] = []  # no row refers to them: they may be unlinked
        self._holds = 0  # backups that still need them
        self._lock = threading.Lock()

    def ref(self, name: str, at: int, size: int, crc: int) -> Ref:
        """Return the range that a row refers to."""
        return Ref(self.directory, name, at, size, crc)

    def append(self, data: bytes | memoryview) -> Ref:
        """Write bytes into the owner's file; call `sync` before a row refers to them. Raises Unwritable."""
        try:
            if self._descriptor < 0 or self._end >= ROTATE_BYTES:
                self._open_next()
            ref = Ref(self.directory, self.current, self._end, len(data), crc32(data))
            while data:
                written = os.write(self._descriptor, data)
                self._end += written
                data = memoryview(data)[written:]
        except OSError as error:
            raise Unwritable(error.errno, error.strerror) from error
        return ref

    def sync(self) -> None:
        """Return when all appended bytes are on the disk; when that fails, begin a new file and raise Unwritable."""
        if self._end == self._synced:
            return
        try:
            os.fdatasync(self._descriptor)
        except OSError as error:
            self.close()  # unknown how much of it is on the disk
            raise Unwritable(error.errno, error.strerror) from error
        self._synced = self._end

    def take_back(self) -> None:
        """Discard what was appended since the last sync."""
        if self._end != self._synced:
            with suppress(OSError):
                os.ftruncate(self._descriptor, self._synced)
            self._end = self._synced

    def close(self) -> None:
        """Close the current file; the next append begins a new one."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor, self._end, self._synced, self.current = -1, 0, 0, ""

    def unlink(self, names: Iterable[str]) -> None:
        """Remove files that no row refers to: now, or when no backup needs them."""
        with self._lock:
            self._unused += names
            if self._holds:
                return
            gone, self._unused = self._unused, []
        for name in gone:
            path = self.directory / name
            with suppress(OSError):  # the next start finds a file that is left
                path.unlink()
                for directory in list(path.parents)[: name.count("/")]:
                    directory.rmdir()  # up to the first that is not empty

    def settle(self, unused: Iterable[str], over: Iterable[str]) -> None:
        """Clean up after a transaction that ended activations and removed the last references to files."""
        self.unlink(unused)
        for activation_id in over:
            self.tidy(activation_id)

    def tidy(self, activation_id: str = "", *, keep: Container[str] = ()) -> None:
        """Remove the empty directories of one or all activations, except those that live attempts may write to."""
        root = self.directory / _of_activation(activation_id) if activation_id else self.directory
        for place, _, _ in os.walk(root, topdown=False):
            if os.path.basename(place) not in keep:
                with suppress(OSError):
                    os.rmdir(place)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Unlink no file inside the `with` block."""
        with self._lock:
            self._holds += 1
        try:
            yield
        finally:
            with self._lock:
                self._holds -= 1
            self.unlink(())

    def names(self) -> list[str]:
        """Return the names of all files in the directory."""
        found = os.walk(self.directory)
        return [str((Path(place) / name).relative_to(self.directory)) for place, _, names in found for name in names]

    def make_directory(self, activation_id: str, sender: str, attempt: str = "") -> str:
        """Make the directory of a sending id, or of one attempt that may write files there, durably; return its name.

        Every user may write to an attempt's, since a container runs as any user. Other users of this machine cannot: only
        this user can enter the directory of records.
        """
        path = self.directory / directory_of(activation_id, sender) / attempt
        for directory in [*reversed(path.relative_to(self.directory).parents), path.relative_to(self.directory)]:
            with suppress(FileExistsError):
                (self.directory / directory).mkdir(mode=0o700)
                _sync_directory((self.directory / directory).parent)
        path.parent.chmod(0o755)
        path.chmod(0o777 if attempt else 0o755)
        return str(path.relative_to(self.directory))

    def verified(self, name: str, at: int, size: int, crc: int) -> bytes:
        """Return bytes that a sender has written; raise InvalidInput when they are missing or differ."""
        try:
            data = _read(self.directory / name, at, size)
        except OSError as error:
            raise InvalidInput(f"{name} cannot be read here: {error.strerror}.") from error
        if len(data) < size or crc32(data) != crc:
            raise InvalidInput(f"bytes {at} to {at + size} of {name} are not what the sender reported.")
        return data

    def _open_next(self) -> None:
        if self._descriptor >= 0:
            self.sync()
            self.close()
        directory = self.directory / OWN
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = f"{OWN}/{secrets.token_hex(8)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        self._descriptor = os.open(self.directory / name, flags, 0o600)
        self.current = name
        for place in (directory, self.directory, self.directory.parent):
            _sync_directory(place)


def directory_of(activation_id: str, sender: str) -> str:
    """Return the directory of a sending id."""
    return f"{_of_activation(activation_id)}/{sender}"


def _of_activation(activation_id: str) -> str:
    return sending_id(activation_id, "")


def pieces(data: bytes, count: int) -> Iterator[tuple[memoryview, int]]:
    """Yield NDJSON of `count` records in pieces of about PIECE_BYTES, each with its number of records."""
    view, at = memoryview(data), 0
    while len(data) - at > 2 * PIECE_BYTES:
        end = (data.rfind(b"\n", at, at + PIECE_BYTES) + 1) or (data.index(b"\n", at) + 1)
        if end == len(data):
            break
        here = data.count(b"\n", at, end)
        yield view[at:end], here
        at, count = end, count - here
    yield view[at:], count


def _read(path: Path, at: int, size: int) -> bytes:
    """Return a range of a regular file, less when the file ends before; raise OSError for anything else."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is not a file")
        data = os.pread(descriptor, size, at)
        while len(data) < size and (more := os.pread(descriptor, size - len(data), at + len(data))):
            data += more
        return data
    finally:
        os.close(descriptor)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

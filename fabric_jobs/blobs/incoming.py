"""Bytes on their way in: a file that nothing refers to until it is complete."""

from __future__ import annotations

import hashlib
import os
import secrets
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

from fabric_jobs.errors import PlaceUnavailable

PIECE_BYTES = 1 << 20  # what is read and checked together
CRC_BYTES = 4
SYNC_BYTES = 8 << 20  # written between two hints to the disk


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes that are kept."""

    sha256: str  # in hexadecimal
    size: int
    crcs: bytes  # the CRC-32 of each piece of PIECE_BYTES, CRC_BYTES each

    @property
    def pieces(self) -> int:
        """The number of pieces; the last one may be shorter."""
        return -(-self.size // PIECE_BYTES)

    def crc(self, number: int) -> int:
        """Return the CRC-32 of a piece."""
        return int.from_bytes(self.crcs[number * CRC_BYTES : (number + 1) * CRC_BYTES], "big")


class Incoming:
    """One upload. `write` and `discard` may be called in different threads."""

    def __init__(self, directory: Path) -> None:
        """Raise PlaceUnavailable if there can be no file in `directory`."""
        self.path = directory / secrets.token_hex(8)
        self.size = 0
        self._advised = 0  # the disk has been asked to write up to here
        self._hash = hashlib.sha256()
        self._crcs = bytearray()
        self._crc = self._filled = 0  # of the piece that is not full yet
        self._lock = threading.Lock()
        try:
            for place in (directory.parent, directory):
                place.mkdir(mode=0o700, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            self._descriptor = os.open(self.path, flags, 0o600)
        except OSError as error:
            raise unwritable(self.path, error) from error

    def write(self, data: bytes) -> None:
        """Append bytes; raise PlaceUnavailable when the disk is full, or after `discard`."""
        with self._lock:
            view = memoryview(data)
            try:
                while view:
                    view = view[os.write(self._descriptor, view) :]
            except OSError as error:
                raise unwritable(self.path, error) from error
            self.size += len(data)
            self._begin_sync()
            self._hash.update(data)
            self._count(memoryview(data))

    def finish(self) -> Blob:
        """Return what was written once it is on the disk; raise PlaceUnavailable when it cannot be."""
        with self._lock:
            try:
                os.fsync(self._descriptor)
            except OSError as error:
                raise unwritable(self.path, error) from error
            crcs = bytes(self._crcs) + (self._crc.to_bytes(CRC_BYTES, "big") if self._filled else b"")
            return Blob(self._hash.hexdigest(), self.size, crcs)

    def discard(self) -> None:
        """Close the file, and remove it unless it was moved away."""
        with self._lock:
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1
            with suppress(OSError):  # the next start removes it
                self.path.unlink()

    def _begin_sync(self) -> None:
        """Let the disk begin with what was written, so that the sync at the end is short; Linux takes this advice so."""
        if self.size - self._advised >= SYNC_BYTES and hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self._descriptor, self._advised, self.size - self._advised, os.POSIX_FADV_DONTNEED)
            self._advised = self.size

    def _count(self, data: memoryview) -> None:
        while data:
            part = data[: PIECE_BYTES - self._filled]
            self._crc, self._filled, data = crc32(part, self._crc), self._filled + len(part), data[len(part) :]
            if self._filled == PIECE_BYTES:
                self._crcs += self._crc.to_bytes(CRC_BYTES, "big")
                self._crc = self._filled = 0


def unwritable(path: Path, error: OSError) -> PlaceUnavailable:
    """Return the error for content that the disk rejects."""
    return PlaceUnavailable(
        f"content cannot be written to {path.parent}: {error.strerror or error}.",
        hint="Nothing was stored. Free some space on that disk (`fabric-jobs state prune`), then send it again.",
    )

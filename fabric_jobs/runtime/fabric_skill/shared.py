"""Files that this program and the gateway both see: the program writes records there and tells the gateway where.

`FABRIC_JOBS_RECORDS` is the directory of records as this program sees it. The gateway names a directory in it, just made for
this attempt. When that is missing or not writable, records go to the gateway as bytes.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Sequence
from typing import Any
from zlib import crc32

from . import gateway

ROTATE_BYTES = 64 << 20  # at this size a new file begins
LEAST_BYTES = 4096  # bodies up to this size are sent as bytes
PAUSE_SECONDS = 0.5  # between two tries on a full disk
FULL = (errno.ENOSPC, errno.EDQUOT)


def root() -> str:
    """Return the directory of records; empty when this program sees none."""
    return os.environ.get("FABRIC_JOBS_RECORDS", "")


class OwnFile:
    """The file that this attempt writes. For one thread at a time."""

    def __init__(self, directory: str, least: int = LEAST_BYTES) -> None:
        """`directory` is relative to that of records; bodies of up to `least` bytes do not go into the file. Raises OSError."""
        self._directory = os.path.join(root(), directory)
        self._least = least
        self._number = -1
        self._descriptor = -1
        self._end = 0
        self._open_next()

    def put(self, outputs: Sequence[list[Any]], bodies: Sequence[bytes]) -> tuple[bytes, dict[str, int]]:
        """Write large bodies and note in `outputs` where; return the others joined, and what the commit says of the file.

        Waits while the disk is full, as for an absent gateway. Raises OSError when the disk is bad.
        """
        large = [(output, body) for output, body in zip(outputs, bodies, strict=True) if len(body) > self._least]
        if not large:
            return b"".join(bodies), {}
        begin, since = self._end, 0.0
        while True:
            try:
                if self._end >= ROTATE_BYTES:
                    self._open_next()
                    begin = 0
                places = [self._append(body) for _, body in large]
                os.fdatasync(self._descriptor)
                break
            except OSError as error:
                if error.errno not in FULL:
                    raise
                os.ftruncate(self._descriptor, begin)
                self._end = begin
                since = self._wait(since, str(error.strerror))
        for (output, _), place in zip(large, places, strict=True):
            output += place
        return b"".join(body for body in bodies if len(body) <= self._least), {"file": self._number}

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1

    def _wait(self, since: float, reason: str) -> float:
        """Wait for space; end the program when there is none for too long."""
        now = time.monotonic()
        if not since:
            print(f"fabric_skill: {self._directory}: {reason}; waiting for space.", file=sys.stderr, flush=True)
        elif now - since > gateway.PATIENCE_SECONDS:
            gateway.give_up(f"{self._directory}: {reason}, for {gateway.PATIENCE_SECONDS:g} s")
        time.sleep(PAUSE_SECONDS)
        return since or now

    def _append(self, body: bytes) -> list[int]:
        at, view = self._end, memoryview(body)
        while view:
            written = os.write(self._descriptor, view)
            self._end += written
            view = view[written:]
        return [at, crc32(body)]

    def _open_next(self) -> None:
        name = os.path.join(self._directory, str(self._number + 1))
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(name, flags, 0o600)
        os.fchmod(descriptor, 0o644)  # others cannot enter the directory of records above it
        _sync_directory(self._directory)
        self.close()
        self._descriptor, self._number, self._end = descriptor, self._number + 1, 0


def assembled(parts: Sequence[Any], body: bytes) -> bytes:
    """Return an answer from its parts: a number is the next bytes of `body`, [name, at, size, crc] is a range of a file.

    Raises OSError when a file cannot be read here, or its bytes differ.
    """
    found, at = [], 0
    for part in parts:
        if isinstance(part, int):
            found.append(body[at : at + part])
            at += part
        else:
            found.append(_read(*part))
    return found[0] if len(found) == 1 else b"".join(found)


def _read(name: str, at: int, size: int, crc: int) -> bytes:
    descriptor = os.open(os.path.join(root(), name), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        data = os.pread(descriptor, size, at)
        while len(data) < size and (more := os.pread(descriptor, size - len(data), at + len(data))):
            data += more
    finally:
        os.close(descriptor)
    if len(data) != size or crc32(data) != crc:
        raise OSError(errno.EIO, "its bytes differ from those that were stored")
    return data


def _sync_directory(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

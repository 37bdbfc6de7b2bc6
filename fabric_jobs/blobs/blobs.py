"""Keeps and reads blobs, and removes those that nothing refers to."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, Protocol
from zlib import crc32

from fabric_jobs.blobs.incoming import PIECE_BYTES, Blob, Incoming
from fabric_jobs.errors import RecordsDamaged

INCOMING = "incoming"  # the subdirectory of uploads that are not complete


class Shelf(Protocol):
    """Where complete blobs are. Every method raises PlaceUnavailable when the place does not answer."""

    is_local: bool  # whether its bytes are on this disk

    def keep(self, path: Path, sha256: str) -> None:  # pragma: no cover - a protocol
        """Store a complete file under its hash, durably and atomically; to do it twice is harmless."""

    def read(self, sha256: str, at: int, size: int) -> bytes:  # pragma: no cover - a protocol
        """Return bytes from `at` on, fewer if the blob ends before; raise RecordsDamaged if there is no such blob."""

    def sizes(self) -> Iterator[tuple[str, int]]:  # pragma: no cover - a protocol
        """Yield the hash and the size of each blob."""

    def remove(self, sha256: str) -> None:  # pragma: no cover - a protocol
        """Remove a blob, if it is there."""

    def path_of(self, sha256: str) -> Path:  # pragma: no cover - a protocol
        """Return where a blob is: the path of a file, or relative to the bucket."""

    def claim(self) -> None:  # pragma: no cover - a protocol
        """Raise PlaceUnavailable unless this gateway alone stores there, and so may remove what it does not know."""


class Swept(NamedTuple):
    """What no row refers to."""

    blobs: int
    bytes: int


class Blobs:
    """The blobs of one gateway. Uploads of all kinds pass through files in a local directory."""

    def __init__(self, directory: Path, shelf: Shelf) -> None:
        self.directory = directory
        self.shelf = shelf
        self._incoming = directory / INCOMING
        self._lock = threading.Lock()
        self._in_use: Counter[str] = Counter()  # stored before the row that refers to them, or being read
        self._holds = 0  # backups that still need what no row refers to

    def clear(self) -> int:
        """Remove what uploads of an earlier owner have left; return how many. Call it before the first upload."""
        with suppress(FileNotFoundError):
            left = list(self._incoming.iterdir())
            for path in left:
                with suppress(OSError):
                    path.unlink()
            return len(left)
        return 0

    def begin(self) -> Incoming:
        """Begin an upload; the caller discards it in the end."""
        return Incoming(self._incoming)

    @contextmanager
    def keeping(self, incoming: Incoming) -> Iterator[Blob]:
        """Keep an upload, and yield it; inside the `with` block, store a row that refers to it."""
        blob = incoming.finish()
        with self.using(blob):  # no sweep is about to remove equal bytes now
            self.shelf.keep(incoming.path, blob.sha256)
            yield blob

    @contextmanager
    def using(self, blob: Blob) -> Iterator[None]:
        """Let no sweep remove a blob inside the `with` block."""
        with self._lock:
            self._in_use[blob.sha256] += 1
        try:
            yield
        finally:
            with self._lock:
                self._in_use[blob.sha256] -= 1
                if not self._in_use[blob.sha256]:
                    del self._in_use[blob.sha256]

    def piece(self, blob: Blob, number: int) -> bytes:
        """Return a piece; raise RecordsDamaged when it differs from what was stored."""
        at = number * PIECE_BYTES
        data = self.shelf.read(blob.sha256, at, min(PIECE_BYTES, blob.size - at))
        if crc32(data) != blob.crc(number) or len(data) != min(PIECE_BYTES, blob.size - at):
            raise RecordsDamaged(
                f"bytes {at} to {at + PIECE_BYTES} of blob {blob.sha256} differ from those that were stored.",
                hint="Upload the content again; `fabric-jobs state check` finds everything that is damaged.",
            )
        return data

    def problem(self, sha256: str, size: int) -> str:
        """Read a whole blob; return what is wrong with it, or an empty text."""
        found, at = hashlib.sha256(), 0
        try:
            while at < size and (data := self.shelf.read(sha256, at, min(PIECE_BYTES, size - at))):
                found.update(data)
                at += len(data)
            if not size:
                self.shelf.read(sha256, 0, 0)
        except RecordsDamaged as error:
            return error.message
        if at < size:
            return f"it has {at} bytes, but {size} were stored"
        return "" if found.hexdigest() == sha256 else "its bytes differ from those that were stored"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Remove nothing inside the `with` block."""
        with self._lock:
            self._holds += 1
        try:
            yield
        finally:
            with self._lock:
                self._holds -= 1

    def unused(self, is_used: Callable[[str], bool]) -> Swept:
        """Return what `sweep` would remove."""
        sizes = [size for sha256, size in self.shelf.sizes() if not is_used(sha256)]
        return Swept(len(sizes), sum(sizes))

    def sweep(self, is_used: Callable[[str], bool], stop: Callable[[], bool] = lambda: False) -> Swept:
        """Remove the blobs that no row refers to, except while a backup runs."""
        gone = Swept(0, 0)
        found = [(sha256, size) for sha256, size in self.shelf.sizes() if not is_used(sha256)]
        if found:
            self.shelf.claim()
        for sha256, size in found:
            with self._lock:
                if stop() or self._holds:
                    break
                if sha256 in self._in_use or is_used(sha256):  # it came meanwhile
                    continue
                self.shelf.remove(sha256)
            gone = Swept(gone.blobs + 1, gone.bytes + size)
        return gone

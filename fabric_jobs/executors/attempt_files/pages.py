"""Reads a log of any length in pages: stdout and stderr merged line by line, each page from where the previous one ended."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from fabric_jobs.errors import InvalidInput
from fabric_jobs.executors.base import STREAMS, LogPage, LogPart, LogQuery

LINE_BYTES = 1 << 16  # longer lines come in parts
PARTS = 5_000  # at most, in one page
TICK_SECONDS = 0.01  # a file's time comes from the kernel's coarse clock, which lags up to a tick behind
ROUNDING_SECONDS = 0.0005  # of the times in the index
LOOKS = 50_000  # lines of the index, at most, for one page

CURSOR = re.compile(r"(\d{1,18})-(\d{1,18})-(\d{1,18})")
LOOK = re.compile(rb"(\d{1,12}\.\d{1,9}) (\d{1,18}) (\d{1,18})\n")


@dataclass(frozen=True)
class Sighting:
    """The sizes of both streams at one time: a line of the index."""

    at: float
    sizes: dict[str, int]
    end: int  # of its line in the index


@dataclass
class _Cursor:
    """Where the next page begins: in the index, and in each stream."""

    index: int = 0
    offsets: dict[str, int] = field(default_factory=lambda: dict.fromkeys(STREAMS, 0))

    def __str__(self) -> str:
        return "-".join(map(str, (self.index, *self.offsets.values())))


def page(directory: Path, query: LogQuery) -> LogPage:
    """Return a page of the files `stdout` and `stderr` in a directory, ordered by its `index`."""
    with ExitStack() as stack:
        files = {name: opened(directory / name, stack) for name in (*STREAMS, "index")}
        cursor = _parse(query.cursor) if query.cursor else _begin(files, query.since)
        return _Page(files, cursor, query).read()


def merged(directory: Path, limit: int) -> bytes:
    """Return at most about `limit` bytes of stdout and stderr, merged line by line in the order in which they appeared."""
    held = {stream: bytearray() for stream in STREAMS}  # unfinished lines, so that the other stream does not cut them
    parts: list[bytes] = []
    query, more = LogQuery(limit=limit), True
    while more and query.limit > 0:
        found = page(directory, query)
        for each in found.parts:
            held[each.stream] += each.bytes
            end = held[each.stream].rfind(b"\n") + 1
            parts.append(bytes(held[each.stream][:end]))
            del held[each.stream][:end]
        left = query.limit - sum(len(each.bytes) for each in found.parts)
        query, more = replace(query, cursor=found.cursor, limit=left), found.more
    return b"".join(parts) + b"\n".join(bytes(line) for line in held.values() if line)


def part(path: Path, offset: int, limit: int) -> bytes:
    """Return at most `limit` bytes of a file from `offset` on; nothing if it is missing. A negative offset counts from the end."""
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(min(offset, size) if offset >= 0 else max(0, size + offset))  # seeking far beyond the end fails
            return file.read(limit)
    except FileNotFoundError:
        return b""


def size(path: Path) -> int:
    """Return the size of a file in bytes; 0 if it is missing."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def looks(file: BinaryIO | None, position: int = 0) -> Iterator[Sighting]:
    """Yield the sightings in an index from a byte on; skip damaged lines."""
    if file is None:
        return
    _seek(file, position)
    while line := file.readline(128):
        position += len(line)
        found = LOOK.fullmatch(line)
        if found is not None:
            yield Sighting(float(found[1]), dict(zip(STREAMS, (int(found[2]), int(found[3])), strict=True)), position)


class _Page:
    """A page while it is read."""

    def __init__(self, files: dict[str, BinaryIO | None], cursor: _Cursor, query: LogQuery) -> None:
        self._files = files
        self._cursor = cursor
        self._query = query
        self._left = query.limit
        self._parts: list[LogPart] = []
        self._held = {stream: bytearray() for stream in STREAMS}  # the beginning of a line, from the cursor on

    def read(self) -> LogPage:
        """Read what the index covers, then the output that it does not cover yet."""
        for number, look in enumerate(looks(self._files["index"], self._cursor.index), start=1):
            for stream in self._query.streams:
                if not self._take(stream, look.sizes[stream], look.at, whole=True):
                    return self._page(more=True)
            self._cursor.index = look.end
            if number >= LOOKS:
                return self._page(more=True)
        last = self._parts[-1].at if self._parts else None
        for stream in self._query.streams:
            file = self._files[stream]
            status = None if file is None else os.fstat(file.fileno())
            if status is None:
                continue
            if status.st_size < self._cursor.offsets[stream]:  # the program truncated the file
                self._cursor.offsets[stream] = 0
                self._held[stream].clear()
            at = max(status.st_mtime, last or 0.0)
            if not self._take(stream, status.st_size, at, whole=self._query.whole):
                return self._page(more=True)
        return self._page(more=False)

    def _page(self, *, more: bool) -> LogPage:
        return LogPage(tuple(self._parts), str(self._cursor), more)

    def _take(self, stream: str, size: int, at: float, *, whole: bool) -> bool:
        """Take a stream's output up to `size`, or only its `whole` lines; return False if the page is full first."""
        held = self._held[stream]
        while (missing := size - self._cursor.offsets[stream] - len(held)) > 0:
            room = self._left - len(held)
            if room <= 0 or len(self._parts) >= PARTS:
                if not self._parts:
                    self._give(stream, at, held)  # the line is longer than a page
                return False
            new = self._read(stream, self._cursor.offsets[stream] + len(held), min(missing, room))
            if not new:
                break  # the file was truncated
            end = new.rfind(b"\n") + 1
            if end:
                self._give(stream, at, held + new[:end])
            held += new[end:]
            if len(held) >= LINE_BYTES:
                self._give(stream, at, held)
        if held and not whole:
            self._give(stream, at, held)
        return True

    def _give(self, stream: str, at: float, text: bytearray) -> None:
        self._parts.append(LogPart(stream, at, bytes(text)))
        self._cursor.offsets[stream] += len(text)
        self._left -= len(text)
        self._held[stream].clear()

    def _read(self, stream: str, offset: int, limit: int) -> bytes:
        file = self._files[stream]
        if file is None:
            return b""
        _seek(file, offset)
        return file.read(limit)


def _begin(files: dict[str, BinaryIO | None], since: float) -> _Cursor:
    """Return the cursor of the first line seen at or after a time."""
    if since <= 0:
        return _Cursor()
    index, sizes = 0, dict.fromkeys(STREAMS, 0)
    was_looked_at = False  # since then; later output is newer, whatever the file's time says
    for look in looks(files["index"], _before(files["index"], since)):
        if look.at >= since - ROUNDING_SECONDS:
            was_looked_at = True
            break
        index, sizes = look.end, look.sizes
    for stream in STREAMS:
        file = files[stream]
        if file is not None:
            status = os.fstat(file.fileno())
            is_later = was_looked_at or status.st_mtime >= since - TICK_SECONDS
            sizes[stream] = _line_start(file, sizes[stream]) if is_later else status.st_size
    return _Cursor(index, sizes)


def _before(index: BinaryIO | None, since: float) -> int:
    """Return where a line of the index begins that is shortly before the first one at or after a time."""
    low, high = 0, 0 if index is None else os.fstat(index.fileno()).st_size
    while index is not None and high - low > 4096:
        middle = (low + high) // 2
        index.seek(middle)
        begin = middle + len(index.readline(128))
        first = next(looks(index, begin), None)
        if first is not None and first.at < since and begin < high:
            low = begin
        else:
            high = middle
    return low


def _line_start(file: BinaryIO, offset: int) -> int:
    """Return where the line around `offset` begins; `offset` itself if a line ends there or is too long."""
    first = max(0, offset - LINE_BYTES)
    file.seek(first)
    found = file.read(offset - first).rfind(b"\n")
    return first + found + 1 if found >= 0 or first == 0 else offset


def _seek(file: BinaryIO, offset: int) -> None:
    """Seek to a byte, at most to the end: a forged cursor may exceed any file size."""
    file.seek(min(offset, file.seek(0, os.SEEK_END)))


def _parse(text: str) -> _Cursor:
    found = CURSOR.fullmatch(text)
    if found is None:
        raise InvalidInput(f"'cursor' must be the cursor of the previous page, not '{text}'.")
    index, *offsets = map(int, found.groups())
    return _Cursor(index, dict(zip(STREAMS, offsets, strict=True)))


def offsets(cursor: str) -> tuple[int, ...]:
    """Return how many bytes of each stream come before a cursor."""
    return tuple(_parse(cursor).offsets.values()) if cursor else (0,) * len(STREAMS)


def opened(path: Path, stack: ExitStack) -> BinaryIO | None:
    """Open a file until `stack` closes; return None if it is missing."""
    try:
        return stack.enter_context(open(path, "rb"))
    except FileNotFoundError:
        return None

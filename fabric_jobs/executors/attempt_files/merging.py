"""Merges the output of several containers into the files of their attempt, line by line.

A line `<container> <stream> <size>` in the file `merge` is written before the output itself. So the next process knows how much
of each container's output is there, wherever this one was killed.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fabric_jobs import whole_file
from fabric_jobs.executors.base import STREAMS

FILE = "merge"
OURS = -1  # instead of the number of a container: lines of this process
NOBODY = "-"  # whose output is in the files, but not in the ledger, after a loss of power
LINE_BYTES = 1 << 16  # a longer line may be interrupted by another container's
LATE_SECONDS = 0.05  # after which the beginning of a line is written, too


def begin(attempt: Path) -> None:
    """Note that the files of an attempt have the output of several containers."""
    (attempt / FILE).touch(0o600)


def is_merged(attempt: Path) -> bool:
    """Return whether the files of an attempt have the output of several containers."""
    return (attempt / FILE).exists()


class Merger:
    """The output of one container of an attempt, among that of the others. One call of it at a time."""

    def __init__(self, attempt: Path, member: int) -> None:
        """Number the containers from 0; `OURS` is this process."""
        self._attempt = attempt
        self._member = str(member)
        self._read = 0  # bytes of the ledger
        self._sizes: dict[tuple[str, str], int] = defaultdict(int)  # by container and stream
        self._ends: dict[tuple[str, str], int] = {}  # of a container's last part, in the file of the stream
        self._last: dict[str, str] = {}  # stream -> the container that wrote last
        self._whole: dict[str, int] = defaultdict(int)  # stream -> size according to the ledger

    def copy(self, found: Iterable[tuple[str, bytes]]) -> None:
        """Append output as it arrives: whole lines at once, and the beginning of a line when the rest does not follow soon."""
        held = _Held(self.append)
        try:
            for stream, text in found:
                held.take(stream, text)
        finally:
            held.close()

    def sizes(self) -> dict[str, int]:
        """Return how many bytes of each stream of this container are there."""
        with self._ledger():
            return {stream: self._sizes[self._member, stream] for stream in STREAMS}

    def ends_with(self, stream: str, line: bytes) -> bool:
        """Return whether the output of this container ends with `line`, with or without its newline."""
        with self._ledger():
            end = self._ends.get((self._member, stream), 0)
        length = min(end, len(line) + 1)
        if not length:
            return not line
        with open(self._attempt / stream, "rb") as file:
            file.seek(end - length)
            return file.read(length).rstrip(b"\n").endswith(line)

    def close(self) -> None:
        """Sync the files."""
        whole_file.sync(*(path for stream in STREAMS if (path := self._attempt / stream).exists()))

    def append(self, stream: str, text: bytes) -> None:
        """Append output at once."""
        with self._ledger() as ledger:
            self._append(ledger, stream, text)

    def append_from(self, stream: str, offset: int, text: bytes) -> int:
        """Append output that begins at byte `offset` of this container's, in whole lines where it has some.

        What is there already is not appended again; nothing is if what comes before is missing. Return how many bytes there are.
        """
        with self._ledger() as ledger:
            size = self._sizes[self._member, stream]
            rest = text[size - offset :] if offset <= size else b""
            end = rest.rfind(b"\n") + 1 or len(rest)
            if end:
                self._append(ledger, stream, rest[:end])
            return size + end

    def _append(self, ledger: int, stream: str, text: bytes) -> None:
        if self._is_within_a_line(stream):
            self._write(ledger, NOBODY, stream, b"\n")
        self._write(ledger, self._member, stream, text)

    def _is_within_a_line(self, stream: str) -> bool:
        """Return whether another container has printed last, and not a whole line."""
        if self._last.get(stream, NOBODY) in (self._member, NOBODY):
            return False
        with open(self._attempt / stream, "rb") as file:
            file.seek(max(0, self._whole[stream] - 1))
            return file.read(1) not in (b"\n", b"")

    def _write(self, ledger: int, member: str, stream: str, text: bytes) -> None:
        self._enter(ledger, member, stream, len(text))
        with open(self._attempt / stream, "ab", buffering=0) as file:
            whole_file.append(file, text)

    @contextmanager
    def _ledger(self) -> Iterator[int]:
        """Give the ledger, which nobody else uses meanwhile and which agrees with the files."""
        ledger = os.open(self._attempt / FILE, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(ledger, fcntl.LOCK_EX)
            self._catch_up(ledger)
            for stream in STREAMS:
                there = (self._attempt / stream).stat().st_size
                if there != self._whole[stream]:  # whoever wrote last was killed at it
                    missing = there - self._whole[stream]
                    self._enter(ledger, self._last.get(stream, NOBODY) if missing < 0 else NOBODY, stream, missing)
            yield ledger
        finally:
            os.close(ledger)

    def _catch_up(self, ledger: int) -> None:
        new = os.pread(ledger, os.fstat(ledger).st_size - self._read, self._read)
        whole = new.rfind(b"\n") + 1
        if whole < len(new):
            os.ftruncate(ledger, self._read + whole)
        for line in new[:whole].splitlines():
            words = line.decode(errors="replace").split(" ")
            if len(words) == 3 and words[1] in STREAMS and words[2].lstrip("-").isdecimal():
                self._note(words[0], words[1], int(words[2]))
        self._read += whole

    def _enter(self, ledger: int, member: str, stream: str, size: int) -> None:
        line = f"{member} {stream} {size}\n".encode()
        os.pwrite(ledger, line, self._read)
        self._read += len(line)
        self._note(member, stream, size)

    def _note(self, member: str, stream: str, size: int) -> None:
        self._sizes[member, stream] += size
        self._whole[stream] += size
        self._ends[member, stream] = self._whole[stream]
        self._last[stream] = member


class _Held:
    """The beginnings of lines whose rest may follow at once: programs often print a line in several pieces."""

    def __init__(self, write: Callable[[str, bytes], None]) -> None:
        self._write = write
        self._parts = dict.fromkeys(STREAMS, b"")
        self._since = 0.0  # when the oldest of them came
        self._is_closed = False
        self._error: OSError | None = None  # of the thread
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def take(self, stream: str, text: bytes) -> None:
        """Write the whole lines of a text, and hold the rest. Raises OSError."""
        with self._changed:
            if self._error is not None:
                raise self._error
            text = self._parts[stream] + text
            end = text.rfind(b"\n") + 1 or (len(text) if len(text) >= LINE_BYTES else 0)
            self._parts[stream] = b""
            if end:
                self._write(stream, text[:end])
            self._parts[stream] = text[end:]
            if self._parts[stream]:
                self._since = time.monotonic()
                if self._thread is None:
                    self._thread = threading.Thread(target=self._write_late, name="late-output", daemon=True)
                    self._thread.start()
                self._changed.notify()

    def close(self) -> None:
        """Write what is held. Raises OSError."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
            self._write_all()

    def _write_all(self) -> None:
        for stream, rest in self._parts.items():
            if rest:
                self._parts[stream] = b""
                self._write(stream, rest)

    def _write_late(self) -> None:
        with self._changed:
            while not self._is_closed:
                self._changed.wait_for(lambda: self._is_closed or any(self._parts.values()))
                left = self._since + LATE_SECONDS - time.monotonic()
                if left > 0:
                    self._changed.wait(left)
                    continue
                try:
                    self._write_all()
                except OSError as error:  # the thread that copies raises it
                    self._error = error
                    return

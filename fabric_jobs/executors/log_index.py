"""When which output was seen: sizes of stdout and stderr over time, for merging them and for times."""

from __future__ import annotations

import threading
import time
from itertools import pairwise
from pathlib import Path

INTERVAL = 0.05  # seconds between two looks; nothing waits for it


class LogIndex:
    """A thread that looks at the sizes of the logs of running attempts and writes the changes down.

    A line of the file `index` is `<seconds since 1970> <size of stdout> <size of stderr>`.
    """

    def __init__(self) -> None:
        self._followed: dict[Path, tuple[int, int]] = {}
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def follow(self, directory: Path) -> None:
        """Look at the logs in `directory` from now on."""
        with self._lock:
            self._followed[directory] = (0, 0)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="log-index", daemon=True)
                self._thread.start()

    def forget(self, directory: Path) -> None:
        """The attempt is over."""
        with self._lock:
            self._followed.pop(directory, None)

    def close(self) -> None:
        """End the thread."""
        self._closing.set()

    def merged(self, directory: Path, limit: int) -> bytes:
        """Return stdout and stderr, at most `limit` bytes of each, merged line by line in the order in which they were seen."""
        texts = [_read(directory / "stdout", limit), _read(directory / "stderr", limit)]
        if not texts[0] or not texts[1]:
            return texts[0] or texts[1]
        seen = [(0, 0), *_entries(directory / "index"), (len(texts[0]), len(texts[1]))]
        parts: list[bytes] = []
        done = [0, 0]
        for index, entry in enumerate(seen[1:], start=1):
            for stream in (0, 1):
                end = len(texts[stream]) if index == len(seen) - 1 else _line_end(texts[stream], entry[stream])
                part = texts[stream][done[stream] : end]
                done[stream] = max(done[stream], end)
                if part and parts and not parts[-1].endswith(b"\n"):
                    parts.append(b"\n")  # the last line of the other stream has no end of its own
                if part:
                    parts.append(part)
        return b"".join(parts)

    def _run(self) -> None:
        while not self._closing.wait(INTERVAL):
            with self._lock:
                followed = list(self._followed.items())
            for directory, before in followed:
                sizes = (_size(directory / "stdout"), _size(directory / "stderr"))
                if sizes != before:
                    self._note(directory, sizes)

    def _note(self, directory: Path, sizes: tuple[int, int]) -> None:
        try:
            with open(directory / "index", "a") as file:
                file.write(f"{time.time():.3f} {sizes[0]} {sizes[1]}\n")
        except OSError:
            return  # a full disk costs times, not logs
        with self._lock:
            if directory in self._followed:
                self._followed[directory] = sizes


def _entries(path: Path) -> list[tuple[int, int]]:
    if not path.exists():
        return []
    rows = [line.split() for line in path.read_bytes().splitlines()]
    entries = [(int(row[1]), int(row[2])) for row in rows if len(row) == 3 and row[1].isdigit() and row[2].isdigit()]
    return [after for before, after in pairwise([(0, 0), *entries]) if after[0] >= before[0] and after[1] >= before[1]]


def _line_end(text: bytes, size: int) -> int:
    """Return where the last whole line before `size` ends: a line that was seen in part counts when it was whole."""
    return text.rfind(b"\n", 0, size) + 1


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _read(path: Path, limit: int) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(limit)
    except FileNotFoundError:
        return b""

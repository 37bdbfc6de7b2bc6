"""When which output was seen: sizes of stdout and stderr over time, for merging them and for times."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from fabric_jobs.executors.base import STREAMS
from fabric_jobs.executors.log_pages import looks, opened

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
                thread = threading.Thread(target=self._run, name="log-index", daemon=True)
                thread.start()
                self._thread = thread

    def forget(self, directory: Path) -> None:
        """The attempt is over: look a last time, unless it was too short for a first look."""
        with self._lock:
            before = self._followed.pop(directory, (0, 0))
        if before != (0, 0):
            self._look(directory, before)

    def close(self) -> None:
        """End the thread."""
        self._closing.set()

    def _run(self) -> None:
        while not self._closing.wait(INTERVAL):
            with self._lock:
                followed = list(self._followed.items())
            for directory, before in followed:
                self._look(directory, before)

    def _look(self, directory: Path, before: tuple[int, int]) -> None:
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


def merged(directory: Path, limit: int) -> bytes:
    """Return stdout and stderr, at most `limit` bytes of each, merged line by line in the order in which they were seen."""
    texts = {stream: _read(directory / stream, limit) for stream in STREAMS}
    if not all(texts.values()):
        return b"".join(texts.values())
    parts: list[bytes] = []
    done = dict.fromkeys(STREAMS, 0)

    def take(stream: str, end: int) -> None:
        part = texts[stream][done[stream] : end]
        done[stream] = max(done[stream], end)
        if part and parts and not parts[-1].endswith(b"\n"):
            parts.append(b"\n")  # the last line of the other stream has no end of its own
        if part:
            parts.append(part)

    for sizes in _rising(directory / "index"):
        for stream in STREAMS:
            # A line that was seen in part counts when it was whole.
            take(stream, texts[stream].rfind(b"\n", done[stream], sizes[stream]) + 1)
        if all(sizes[stream] >= len(texts[stream]) for stream in STREAMS):
            break
    for stream in STREAMS:
        take(stream, len(texts[stream]))
    return b"".join(parts)


def _rising(path: Path) -> Iterator[dict[str, int]]:
    """Yield the sizes of the looks, without those that are smaller than the look before."""
    with ExitStack() as stack:
        before = dict.fromkeys(STREAMS, 0)
        for look in looks(opened(path, stack)):
            if all(look.sizes[stream] >= before[stream] for stream in STREAMS):
                yield look.sizes
            before = look.sizes


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

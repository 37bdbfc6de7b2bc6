"""Writes what a container prints into the files of its attempt, with an index of when it was seen."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import TracebackType

from fabric_jobs.executors.base import STREAMS
from fabric_jobs.executors.log_index import INTERVAL


class Copy:
    """The open files; the index has the sizes over time, as `fabric_jobs.executors.log_index` writes it."""

    def __init__(self, directory: Path) -> None:
        self._files = {name: open(directory / name, "ab", buffering=0) for name in STREAMS}  # noqa: SIM115
        self._index = open(directory / "index", "ab", buffering=0)  # noqa: SIM115
        self._sizes = {name: os.fstat(file.fileno()).st_size for name, file in self._files.items()}
        self._begun = self._noted = time.time()

    def __enter__(self) -> Copy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if time.time() - self._begun > INTERVAL:  # else the times of the files say it
            self._note(time.time())
        for file in (*self._files.values(), self._index):
            file.close()

    def write(self, stream: str, text: bytes) -> None:
        """Write what came."""
        now = time.time()
        if now - self._noted >= INTERVAL:
            self._note(now)
        rest = memoryview(text)
        while rest:
            rest = rest[self._files[stream].write(rest) :]
        self._sizes[stream] += len(text)

    def _note(self, now: float) -> None:
        self._index.write(f"{now:.3f} {self._sizes['stdout']} {self._sizes['stderr']}\n".encode())
        self._noted = now

"""Writes the output of a container to the files of its attempt."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

from fabric_jobs import whole_file
from fabric_jobs.executors.attempt_files.index import LogIndex
from fabric_jobs.executors.base import STREAMS


class ContainerOutput(Protocol):
    """Where the output of a container goes. What is there survives this process."""

    def copy(self, found: Iterable[tuple[str, bytes]]) -> None:
        """Append output as it arrives."""

    def sizes(self) -> dict[str, int]:
        """Return how many bytes of each stream are there."""

    def ends_with(self, stream: str, line: bytes) -> bool:
        """Return whether a stream ends with `line`, with or without its newline."""

    def follow(self) -> None:
        """Note the times of output from now on."""

    def close(self) -> None:
        """Sync the output, and note the time of its end."""


class OwnFiles:
    """The files `stdout` and `stderr` of an attempt that is one container."""

    def __init__(self, directory: Path, index: LogIndex) -> None:
        self._directory = directory
        self._index = index

    def copy(self, found: Iterable[tuple[str, bytes]]) -> None:
        """Append output as soon as it arrives."""
        with ExitStack() as stack:
            files = {name: stack.enter_context(open(self._directory / name, "ab", buffering=0)) for name in STREAMS}
            for stream, text in found:
                rest = memoryview(text)
                while rest:
                    rest = rest[files[stream].write(rest) :]

    def sizes(self) -> dict[str, int]:
        """Return how many bytes of each stream are in the files."""
        paths = {name: self._directory / name for name in STREAMS}
        return {name: path.stat().st_size if path.exists() else 0 for name, path in paths.items()}

    def ends_with(self, stream: str, line: bytes) -> bool:
        """Return whether a file ends with `line`, with or without its newline."""
        try:
            with open(self._directory / stream, "rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - len(line) - 1))
                return file.read().rstrip(b"\n").endswith(line)
        except FileNotFoundError:
            return not line

    def follow(self) -> None:
        """Let the index watch the files."""
        self._index.follow(self._directory)

    def close(self) -> None:
        """Sync the files: once the exit is recorded, the container is deleted with its log."""
        self._index.forget(self._directory)
        sync(self._directory)


def sync(directory: Path) -> None:
    """Sync the output files in a directory."""
    whole_file.sync(*(path for stream in STREAMS if (path := directory / stream).exists()))

"""Writes the output of a container to the files of its attempt."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

from fabric_jobs.executors.base import STREAMS


def copy(found: Iterable[tuple[str, bytes]], directory: Path) -> None:
    """Append output to the files `stdout` and `stderr` as soon as it arrives."""
    with ExitStack() as stack:
        files = {name: stack.enter_context(open(directory / name, "ab", buffering=0)) for name in STREAMS}
        for stream, text in found:
            rest = memoryview(text)
            while rest:
                rest = rest[files[stream].write(rest) :]


def sizes(directory: Path) -> dict[str, int]:
    """Return how many bytes of each stream are in the files."""
    return {name: (directory / name).stat().st_size if (directory / name).exists() else 0 for name in STREAMS}


def ends_with(path: Path, line: bytes) -> bool:
    """Return whether a file ends with `line`, with or without its newline."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - len(line) - 1))
            return file.read().rstrip(b"\n").endswith(line)
    except FileNotFoundError:
        return not line

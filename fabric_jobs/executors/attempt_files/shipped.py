"""Takes output that an attempt's pod sends to the gateway, because its files are on another machine."""

from __future__ import annotations

import fcntl
import os
import threading
from functools import lru_cache
from pathlib import Path

from fabric_jobs import whole_file
from fabric_jobs.errors import InvalidInput
from fabric_jobs.executors import attempt_files
from fabric_jobs.executors.attempt_files.merging import Merger, is_merged
from fabric_jobs.executors.base import STREAMS

WHOLE = "whole"  # the file that says that all has been sent
FIRST = 0  # of several containers, the one whose output is sent
OPEN = 256  # attempts of several containers that are remembered, so that their ledgers are not read again and again

STOP = "stopped"  # the file that says that the program is to end
KILL = "kill"  # the file that says that the program has to end now, whatever its cluster allows it


def take(directory: Path, stream: str, offset: int, text: bytes) -> int:
    """Append output that begins at byte `offset` of a stream, unless it is there already; return how many bytes there are.

    Of several containers it is the first one's; the beginning of a line that comes with whole lines is not taken yet.
    An empty text makes durable what is there. Raises InvalidInput for an unknown stream, or when what comes before `offset` is
    missing. Raises OSError.
    """
    if stream not in STREAMS:
        raise InvalidInput(f"'{stream}' is not one of {', '.join(STREAMS)}.")
    size = _append(directory, stream, offset, text)
    if not text:
        whole_file.sync(directory / stream)
    return size


def asks(directory: Path) -> dict[str, bool]:
    """Return what the launcher is asked for with each answer: to let the program `end`, and to `kill` it."""
    return {"end": (directory / STOP).exists(), "kill": (directory / KILL).exists()}


def _append(directory: Path, stream: str, offset: int, text: bytes) -> int:
    if is_merged(directory):
        return _Among.of(directory).take(stream, offset, text)
    with open(directory / stream, "ab", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        size = os.fstat(file.fileno()).st_size
        _check(stream, offset, size)
        rest = memoryview(text)[size - offset :]
        while rest:
            rest = rest[file.write(rest) :]
        return os.fstat(file.fileno()).st_size


def finish(directory: Path) -> None:
    """Note that all output has been sent, and make it durable before that."""
    whole_file.sync(*(directory / stream for stream in STREAMS))
    attempt_files.mark(directory / WHOLE)


class _Among:
    """The output of the first of several containers, among that of the others."""

    def __init__(self, directory: Path) -> None:
        self._merger = Merger(directory, FIRST)
        self._turn = threading.Lock()

    @staticmethod
    @lru_cache(OPEN)
    def of(directory: Path) -> _Among:
        """Return that of an attempt."""
        return _Among(directory)

    def take(self, stream: str, offset: int, text: bytes) -> int:
        """Append output, in whole lines where it has some."""
        with self._turn:
            size = self._merger.append_from(stream, offset, text)
        _check(stream, offset, size)
        return size


def _check(stream: str, offset: int, size: int) -> None:
    if offset > size:
        raise InvalidInput(f"{stream} has {size} bytes, so it cannot go on at {offset}.")

"""Takes output that an attempt's pod sends to the gateway, because its files are on another machine."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from fabric_jobs.errors import InvalidInput
from fabric_jobs.executors import attempt_files
from fabric_jobs.executors.base import STREAMS

WHOLE = "whole"  # the file that says that all has been sent


def take(directory: Path, stream: str, offset: int, text: bytes) -> int:
    """Append output that begins at byte `offset` of a stream, unless it is there already; return how many bytes there are.

    Raises InvalidInput for an unknown stream, or when what comes before `offset` is missing. Raises OSError.
    """
    if stream not in STREAMS:
        raise InvalidInput(f"'{stream}' is not one of {', '.join(STREAMS)}.")
    with open(directory / stream, "ab", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        size = os.fstat(file.fileno()).st_size
        if offset > size:
            raise InvalidInput(f"{stream} has {size} bytes, so it cannot go on at {offset}.")
        rest = memoryview(text)[size - offset :]
        while rest:
            rest = rest[file.write(rest) :]
        return os.fstat(file.fileno()).st_size


def finish(directory: Path) -> None:
    """Note that all output has been sent."""
    attempt_files.mark(directory / WHOLE)

"""Reads the end of what an attempt printed, with the place of the line that says why it failed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from fabric_jobs.executors.base import Executor
from fabric_jobs.executors.masking import masked

LAST_BYTES = 8192
LAST_LINES = 20
RAISED_LENGTH = 8192  # characters of an exception's text
WORKER = "cortex_worker: "  # how a worker of an API begins a line about its end
FRAME = re.compile(r'  File "[^"]*", line \d+')


@dataclass(frozen=True, kw_only=True)
class Printed:
    """The end of what an attempt printed."""

    lines: tuple[str, ...] = ()
    stream: str = ""  # stdout | stderr; empty when nothing is known
    offset: int = 0  # of the stream's byte where the line begins that says why


NOTHING_PRINTED = Printed()


def last_printed(executor: Executor, handle: str) -> Printed:
    """Return the end of stderr, or of stdout when stderr is empty, with tokens masked."""
    for stream in ("stderr", "stdout"):
        begin = max(0, executor.size(handle, stream) - LAST_BYTES)
        end = executor.logs(handle, stream, begin, LAST_BYTES)
        text = masked(end.decode(errors="replace"), is_cut=begin > 0).strip()
        if text:
            return Printed(
                lines=tuple(text.splitlines()[-LAST_LINES:]), stream=stream, offset=begin + _place_of_reason(end)
            )
    return NOTHING_PRINTED


def exception_in(lines: Sequence[str]) -> str:
    """Return the exception of the last Python traceback in some lines, which may begin in the middle of it."""
    found = _exception(lines)
    return "" if found is None else lines[found].strip()[:RAISED_LENGTH]


def said_by_worker(lines: Sequence[str]) -> str:
    """Return what the worker of an API said last about its end; empty if it said nothing."""
    found = next((line for line in reversed(lines) if line.startswith(WORKER)), "")
    return found.removeprefix(WORKER).rstrip(".")


def _place_of_reason(text: bytes) -> int:
    """Return where the line begins that says why: the exception of the last traceback, else the last line with text."""
    lines = text.split(b"\n")
    found = _exception([line.decode(errors="replace") for line in lines])
    if found is None:
        found = max((index for index, line in enumerate(lines) if line.strip()), default=0)
    return sum(len(line) + 1 for line in lines[:found])


def _exception(lines: Sequence[str]) -> int | None:
    frames = [number for number, line in enumerate(lines) if FRAME.match(line)]
    after = range(frames[-1] + 1, len(lines)) if frames else ()
    return next((number for number in after if lines[number][:1].strip()), None)

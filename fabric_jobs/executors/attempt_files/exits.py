"""Records how attempts ended, durably, before anybody is told."""

from __future__ import annotations

import json
from pathlib import Path

from fabric_jobs import whole_file
from fabric_jobs.executors.base import AttemptExit

FILE = "exit"


def write_exit(directory: Path, ended: AttemptExit, at: float, file: str = FILE) -> None:
    """Record the end of an attempt or of one of its containers, at a time in seconds since 1970."""
    text = json.dumps({"code": ended.code, "reason": ended.reason, "cause": ended.cause, "at": at})
    whole_file.write(directory / file, text, durable=True)


def read_ended_at(directory: Path, file: str = FILE) -> float:
    """Return the recorded time of an end, in seconds since 1970; 0 if there is none."""
    try:
        return float(json.loads((directory / file).read_text(errors="replace"))["at"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0


def read_exit(directory: Path, file: str = FILE) -> AttemptExit | None:
    """Return the recorded end of an attempt; None if it is missing or damaged."""
    try:
        text = (directory / file).read_text(errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        found = json.loads(text)
        return AttemptExit(found["code"], found["reason"], found.get("cause", ""))
    except (ValueError, KeyError, TypeError):
        return None

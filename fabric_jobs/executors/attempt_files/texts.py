"""Small files for people: what an attempt is doing, and remarks about it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from fabric_jobs import whole_file

NOTE = "note"  # what keeps the program from running yet
LINE_BYTES, LINE_LENGTH = 2048, 70  # what is looked at for the last line of a log, and what is shown of it


def text(path: Path) -> str:
    """Return what a file says; empty when it says nothing, or is gone."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def say(directory: Path, doing: str) -> None:
    """Note what keeps the program from running yet; empty once it runs."""
    with suppress(OSError):  # nobody depends on it
        if doing:
            whole_file.write(directory / NOTE, doing)
        else:
            (directory / NOTE).unlink(missing_ok=True)


def last_line(path: Path) -> str:
    """Return the last complete line of a log, shortened for people."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - LINE_BYTES))
            lines = file.read().decode(errors="replace").splitlines(keepends=True)
    except OSError:
        return ""
    whole = [line.strip() for line in lines if line.endswith("\n") and line.strip()]
    return whole[-1][:LINE_LENGTH] if whole else ""

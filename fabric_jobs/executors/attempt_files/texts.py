"""Reads and writes small files for people: what an attempt is doing, and remarks about it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from fabric_jobs import whole_file

NOTE = "note"  # why the program does not run yet
LINE_BYTES, LINE_LENGTH = 2048, 70  # read to find a log's last line, and shown of it


def text(path: Path) -> str:
    """Return the text of a file; empty if the file is missing."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def say(directory: Path, doing: str) -> None:
    """Note why the program does not run yet; empty once it runs."""
    with suppress(OSError):  # nothing depends on it
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

"""Copies the database in steps while it is in use, as it was at one moment."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

from fabric_jobs.errors import PlaceUnavailable
from fabric_jobs.store.audit import Stop, snapshot
from fabric_jobs.store.connection import translated

PAGES = 256  # in one step

Copied = Callable[[int, int], None]  # takes the number of pages copied, and of all pages


def copy(path: Path, target: Path, copied: Copied, stop: Stop = lambda: False) -> None:
    """Copy the database at `path` to the new file `target`; `copied` is told the progress.

    A read transaction pins the moment: without it the copy would restart at every write.
    Raises PlaceUnavailable when the disk fails, or `stop` returns true.
    """

    def step(status: int, remaining: int, total: int) -> None:
        if stop():
            raise PlaceUnavailable("the owner is ending.", hint="Type the command again.")
        copied(total - remaining, total)

    with translated(target):
        destination = sqlite3.connect(target)
        try:
            with snapshot(path, stop) as sql:
                sql.one("setting", key="token")  # the transaction begins with the first read
                sql.connection.backup(destination, pages=PAGES, progress=step)
        finally:
            destination.close()

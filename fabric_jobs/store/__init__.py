"""The only code that speaks SQL.

`Store` combines the one writer, the readers and the tail. The other modules hold statements, by noun:
`definitions`, `activations`, `channels`, `tasks`, `commits`, `events`, `trace`, `dead_letters`, and for the whole
database `totals`, `retention`, `audit`, `copy`. Functions that write take a `Tx`; those that only read take any `Sql`.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar

from fabric_jobs.records import Segment
from fabric_jobs.state_dir import records_dir
from fabric_jobs.store import channels
from fabric_jobs.store.connection import open_reader
from fabric_jobs.store.files import INLINE_BYTES, RecordFiles
from fabric_jobs.store.handed_out import HandedOut
from fabric_jobs.store.sql import Sql
from fabric_jobs.store.tail import Tail
from fabric_jobs.store.writer import Effects, Listener, Tx, Writer

__all__ = ["Effects", "Store", "Tx"]

T = TypeVar("T")

log = logging.getLogger(__name__)


class Store:
    """The state of one owner, in one directory."""

    def __init__(self, path: Path, *, inline_bytes: int = INLINE_BYTES) -> None:
        """Open or create the database file `path`; raise PlaceUnavailable when the disk fails.

        Bodies of more than `inline_bytes` are stored in files beside it.
        """
        self._path = path
        self.files = RecordFiles(records_dir(path.parent), inline_bytes=inline_bytes)
        self._listeners: list[Listener] = []
        self._readers: dict[threading.Thread, sqlite3.Connection] = {}
        self._opening = threading.Lock()
        self._local = threading.local()
        self._tail = Tail()
        self.handed_out = HandedOut()
        self._writer = Writer(path, self._committed, self.files)

    @property
    def path(self) -> Path:
        """The database file."""
        return self._path

    @property
    def commits(self) -> int:
        """The number of transactions committed since the start."""
        return self._writer.commits

    @property
    def waiting(self) -> int:
        """The number of operations that wait for the next transaction."""
        return self._writer.waiting

    @property
    def read(self) -> Sql:
        """The statements, on a read-only connection of the calling thread."""
        if not hasattr(self._local, "sql"):
            self._local.sql = Sql(self._open_reader(), self.files)
        sql: Sql = self._local.sql
        return sql

    def write(self, operation: Callable[[Tx], T]) -> Future[T]:
        """Run `operation` in the writer's next transaction; the future is done after the commit."""
        return self._writer.submit(operation)

    def write_soon(self, operation: Callable[[Tx], object]) -> None:
        """Run `operation` with the next transaction, or soon in one of its own. See `Writer.submit_soon`."""
        self._writer.submit_soon(operation)

    def compact(self) -> Future[None]:
        """Return the free pages of the database to the disk; every write waits meanwhile."""
        return self._writer.compact()

    def records(self, channel_id: int, offset: int, *, max_bytes: int) -> Segment | None:
        """Return records of a channel from `offset` on, from memory if possible."""
        return self._tail.read(channel_id, offset, max_bytes=max_bytes) or channels.read(
            self.read, channel_id, offset, max_bytes=max_bytes
        )

    def newest(self, channel_id: int, offset: int, *, max_bytes: int) -> Segment | None:
        """Return records of a channel from `offset` on if they are in memory."""
        return self._tail.read(channel_id, offset, max_bytes=max_bytes)

    def sweep(self) -> int:
        """Remove files without references that no attempt may append to; return how many. Call it before any write."""
        found = self.files.names()
        known = {row["name"] for row in self.read.all("files")} if found else set()
        live = {row["name"] for row in self.read.all("live_attempts")}
        gone = [name for name in found if name not in known and Path(name).parent.name not in live]
        self.files.unlink(gone)
        self.files.tidy(keep=live)
        return len(gone)

    def listen(self, listener: Listener) -> None:
        """Call `listener` with the effects of every committed group, in the writer's thread; it must return at once."""
        self._listeners.append(listener)

    def close(self) -> None:
        """Commit the waiting operations and close every connection."""
        self._writer.close()
        with self._opening:
            for connection in self._readers.values():
                connection.close()
            self._readers.clear()

    def _open_reader(self) -> sqlite3.Connection:
        """Open a connection for the calling thread; close those of threads that have ended."""
        connection = open_reader(self._path)
        with self._opening:
            for thread in [thread for thread in self._readers if not thread.is_alive()]:
                self._readers.pop(thread).close()
            self._readers[threading.current_thread()] = connection
        return connection

    def _committed(self, effects: Effects) -> None:
        for appended in effects.appended:
            self._tail.add(appended)
        for channel_id, acked in effects.acked.items():
            self._tail.forget(channel_id, acked)
        for listener in self._listeners:
            try:
                listener(effects)
            except Exception:  # one listener must not stop the writer's thread; it can read what it missed
                log.exception("a listener could not take in what was committed")

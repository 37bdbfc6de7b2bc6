"""The only writer: operations that arrive during a transaction go into the next one (docs/explanation/channels.md)."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from zlib import crc32

from fabric_jobs.errors import FabricJobsError
from fabric_jobs.records import Part, Segment
from fabric_jobs.store.connection import open_writer, translated
from fabric_jobs.store.files import FULL, RecordFiles, Ref, Unwritable, pieces
from fabric_jobs.store.sent import Sent, Written
from fabric_jobs.store.sql import Sql

T = TypeVar("T")

GROUP_LIMIT = 256  # operations in one transaction
CHECKPOINT_BYTES = 16 << 20  # written to the WAL, about, between two checkpoints
ROOM_BYTES = 128 << 10  # with less on the disk the log is given back at once: programs write there, too
SOON_SECONDS = 0.05  # until operations without a waiter are committed on their own
COMMIT_BYTES = 64 << 10  # what a commit writes beside its records, about


@dataclass(frozen=True, slots=True)
class Appended:
    """Records that a transaction added to a channel."""

    channel_id: int
    segment: Segment


@dataclass(slots=True)
class Effects:
    """What a committed group did, for those who wait: nothing in it has to be remembered, all of it can be read again."""

    appended: list[Appended] = field(default_factory=list)
    acked: dict[int, int] = field(default_factory=dict)  # channel_id -> every record below is finished
    ended: set[int] = field(default_factory=set)  # channels that ended or closed
    activations: set[str] = field(default_factory=set)  # something happened to them
    look: set[str] = field(default_factory=set)  # something that the engine has not decided itself
    news: set[int] = field(default_factory=set)  # channels with records that the engine has not seen
    completed: set[str] = field(default_factory=set)  # activations in which nothing is left to do
    over: set[str] = field(default_factory=set)  # activations that have come to an end
    events: bool = False
    unused: list[str] = field(default_factory=list)  # files that no row names any more
    written: int = 0  # bytes that the transaction wrote beside what others are told of, about

    def seen(self, activation_id: str) -> None:
        """The engine has decided what follows from this operation, in the operation itself."""
        self.look.discard(activation_id)
        self.news.clear()

    def merge(self, other: Effects) -> None:
        """Take in what another operation of the same group did."""
        self.appended += other.appended
        self.acked.update(other.acked)
        self.ended |= other.ended
        self.activations |= other.activations
        self.look |= other.look
        self.news |= other.news
        self.completed |= other.completed
        self.over |= other.over
        self.events |= other.events
        self.written += other.written


class Tx(Sql):
    """A write transaction, handed to the functions that change something."""

    def __init__(self, connection: sqlite3.Connection, files: RecordFiles) -> None:
        super().__init__(connection, files)
        self.effects = Effects()

    def keep(self, sent: Sent) -> list[tuple[int, Part]]:
        """Return what rows are to hold of records: numbers of records with their bytes, or with where these are now."""
        if len(sent.bytes) <= self.files.inline_bytes:
            return [(sent.count, sent.bytes)]
        found: list[tuple[int, Part]] = []
        written, at = sent.written, sent.written.at if sent.written else 0
        for data, count in pieces(sent.bytes, sent.count):
            if written is None:
                found.append((count, self.files.append(data)))
                continue
            crc = crc32(data) if written.crc is None or count < sent.count else written.crc
            found.append((count, self.files.ref(written.name, at, len(data), crc)))
            at += len(data)
        return found

    def columns(self, part: Part, written: Written | None) -> dict[str, Any]:
        """Return the columns of a row that holds, or refers to, these bytes; a file knows of one more row then."""
        if isinstance(part, bytes):
            return {"bytes": part, "file_id": None, "at": None, "size": None, "crc": None}
        assert isinstance(part, Ref)
        task_id, attempt = (written.task_id, written.attempt) if written else (None, None)
        row = self.one("refer_to_file", name=part.name, task_id=task_id, attempt=attempt, size=part.at + part.size)
        assert row is not None
        return {"bytes": b"", "file_id": row["file_id"], "at": part.at, "size": part.size, "crc": part.crc}


Operation = Callable[[Tx], Any]
Outcome = tuple[Future[Any], Any, BaseException | None]  # of one operation
Listener = Callable[[Effects], None]


class Writer:
    """A thread that owns the only write connection."""

    def __init__(self, path: Path, listener: Listener, files: RecordFiles) -> None:
        self._path = path
        self._files = files
        self._connection = open_writer(path)
        self._listener = listener
        self._waiting: list[tuple[Operation, Future[Any]]] = []
        self._soon: list[tuple[Operation, Future[Any]]] = []
        self._soon_at = 0.0  # when these are due, by time.monotonic()
        self._compactions: list[Future[None]] = []
        self._wake = threading.Condition()
        self._closing = False
        self.commits = 0  # transactions so far; benchmarks and tests read it
        self._unchecked = 0  # bytes written since the last checkpoint, about
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def submit(self, operation: Callable[[Tx], T]) -> Future[T]:
        """Run `operation` in a transaction; the future is done after the commit, or holds what the operation raised.

        An operation that raises leaves no trace; the others of its group are not disturbed.
        """
        future: Future[T] = Future()
        with self._wake:
            if self._closing:
                raise RuntimeError("the store is closed")
            self._waiting.append((operation, future))
            self._wake.notify()
        return future

    def submit_soon(self, operation: Operation) -> None:
        """Run `operation` in the next transaction, before what that one is for; one of its own is begun after a moment only.

        For display only: if the process dies before the commit, it is lost.
        """
        with self._wake:
            if self._closing:
                return
            self._soon.append((operation, Future()))
            if len(self._soon) == 1:
                self._soon_at = time.monotonic() + SOON_SECONDS
                self._wake.notify()

    def compact(self) -> Future[None]:
        """Rewrite the database without its free pages; every other operation waits meanwhile."""
        future: Future[None] = Future()
        with self._wake:
            if self._closing:
                raise RuntimeError("the store is closed")
            self._compactions.append(future)
            self._wake.notify()
        return future

    @property
    def waiting(self) -> int:
        """How many operations wait for the next transaction."""
        return len(self._waiting)

    def close(self) -> None:
        """Commit what waits, checkpoint, and end the thread."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()
        with suppress(sqlite3.DatabaseError):  # a full disk: what is committed stays in the WAL
            self._connection.execute("pragma wal_checkpoint(truncate)")
        self._connection.close()
        self._files.close()

    def _run(self) -> None:
        while (group := self._next_group()) is not None:
            # From here on it cannot be cancelled: a cancelled future cannot be answered.
            self._commit([(operation, future) for operation, future in group if future.set_running_or_notify_cancel()])
            self._checkpoint()
            while self._compactions:
                self._compact(self._compactions.pop())

    def _next_group(self) -> list[tuple[Operation, Future[Any]]] | None:
        """Wait for something to do; None to end."""
        with self._wake:
            while not (self._waiting or self._compactions or self._closing or self._is_soon_due()):
                self._wake.wait(self._soon_at - time.monotonic() if self._soon else None)
            group, self._waiting = self._waiting[:GROUP_LIMIT], self._waiting[GROUP_LIMIT:]
            group, self._soon = [*self._soon, *group], []
            return group if group or self._compactions else None

    def _is_soon_due(self) -> bool:
        return bool(self._soon) and time.monotonic() >= self._soon_at

    def _compact(self, future: Future[None]) -> None:
        if self._closing or not future.set_running_or_notify_cancel():
            future.cancel()
            return
        try:
            with translated(self._path):
                self._connection.execute("vacuum")
                self._connection.execute("pragma wal_checkpoint(truncate)")
        except FabricJobsError as error:
            future.set_exception(error)
        else:
            future.set_result(None)

    def _commit(self, group: list[tuple[Operation, Future[Any]]]) -> None:
        if not group:
            return
        try:
            effects, outcomes = self._transact(group)
        except FabricJobsError as error:
            for _, future in group:
                future.set_exception(error)
            return
        self._files.settle(effects.unused, effects.over)
        self._listener(effects)
        for future, value, failure in outcomes:
            if failure is None:
                future.set_result(value)
            else:
                future.set_exception(failure)

    def _transact(self, group: list[tuple[Operation, Future[Any]]]) -> tuple[Effects, list[Outcome]]:
        """Run the operations in one transaction, and once more when the disk was full of what the log can give back."""
        try:
            return self._try(group)
        except FabricJobsError as error:
            self._roll_back()
            if not (_is_full(error.__cause__) and _give_back(self._connection, self._path)):
                raise
        try:
            return self._try(group)
        except FabricJobsError:
            self._roll_back()
            raise

    def _try(self, group: list[tuple[Operation, Future[Any]]]) -> tuple[Effects, list[Outcome]]:
        outcomes: list[Outcome] = []
        effects = Effects()
        with translated(self._path):
            self._connection.execute("begin immediate")
            for operation, future in group:
                outcomes.append((future, *self._apply(operation, effects, alone=len(group) == 1)))
            unused = Sql(self._connection, self._files).all("forget_unused_files", current=self._files.current)
            effects.unused = [row["name"] for row in unused]
            self._files.sync()  # before the commit that refers to it
            self._connection.execute("commit")
        self.commits += 1
        self._unchecked += COMMIT_BYTES + effects.written + _inline_bytes(effects)
        return effects, outcomes

    def _apply(self, operation: Operation, effects: Effects, *, alone: bool) -> tuple[Any, BaseException | None]:
        tx = Tx(self._connection, self._files)
        if not alone:
            self._connection.execute("savepoint operation")
        try:
            value = operation(tx)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.IntegrityError):
                return self._undo(error, alone)
            raise  # the disk, not this operation: the whole group fails
        except Unwritable:
            raise  # the same of a file of records
        except Exception as error:  # whatever it is, it belongs to the one who asked
            return self._undo(error, alone)
        if not alone:
            self._connection.execute("release operation")
        effects.merge(tx.effects)
        return value, None

    def _undo(self, error: BaseException, alone: bool) -> tuple[None, BaseException]:
        if alone:
            self._connection.execute("rollback")
            self._connection.execute("begin immediate")
        else:
            self._connection.execute("rollback to operation")
            self._connection.execute("release operation")
        return None, error

    def _roll_back(self) -> None:
        self._files.take_back()
        if self._connection.in_transaction:
            self._connection.execute("rollback")

    def _checkpoint(self) -> None:
        # A passive checkpoint never waits for a reader; what it cannot move yet, the next one does.
        is_short = _room(self._path) < ROOM_BYTES
        if self._unchecked < CHECKPOINT_BYTES and not is_short:
            return
        self._unchecked = 0
        with suppress(sqlite3.DatabaseError):  # the next commit reports a bad disk in words
            self._connection.execute(f"pragma wal_checkpoint({'truncate' if is_short else 'passive'})")


def _is_full(error: BaseException | None) -> bool:
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL or getattr(error, "errno", None) in FULL


def _inline_bytes(effects: Effects) -> int:
    """Return how many bytes of records the transaction wrote."""
    parts = (part for appended in effects.appended for part in appended.segment.parts)
    return sum(len(part) for part in parts if isinstance(part, bytes))


def _room(path: Path) -> int:
    """Return the free bytes of a file's disk; many where that is unknown."""
    try:
        found = os.statvfs(path)
    except OSError:
        return ROOM_BYTES
    return found.f_bavail * found.f_frsize


def _give_back(connection: sqlite3.Connection, path: Path) -> bool:
    """Write the log back, and empty it; return whether that has freed something."""
    log = path.with_name(f"{path.name}-wal")
    try:
        before = log.stat().st_size
        connection.execute("pragma wal_checkpoint(truncate)")
        return log.stat().st_size < before
    except (OSError, sqlite3.DatabaseError):
        return False

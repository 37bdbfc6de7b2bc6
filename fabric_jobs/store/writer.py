"""The only writer. Operations that arrive during a transaction share the next one (docs/explanation/channels.md)."""

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
CHECKPOINT_BYTES = 16 << 20  # written to the WAL between two checkpoints, about
ROOM_BYTES = 128 << 10  # with less free, the WAL is emptied at once: programs need the space
SOON_SECONDS = 0.05  # after this, operations that nobody waits for get a transaction of their own
COMMIT_BYTES = 64 << 10  # written by a commit besides its records, about


@dataclass(frozen=True, slots=True)
class Appended:
    """Records that a transaction added to a channel."""

    channel_id: int
    segment: Segment


@dataclass(slots=True)
class Effects:
    """What a committed group did, for whoever waits for it. It may be lost: all of it can be read again."""

    appended: list[Appended] = field(default_factory=list)
    acked: dict[int, int] = field(default_factory=dict)  # channel_id -> all records below are finished
    ended: set[int] = field(default_factory=set)  # channels that ended or closed
    activations: set[str] = field(default_factory=set)  # activations with changes
    look: set[str] = field(default_factory=set)  # activations with changes that the engine did not make
    news: set[int] = field(default_factory=set)  # channels with records that are new to the engine and to waiting calls
    told: set[int] = field(default_factory=set)  # channels with news for waiting calls only
    completed: set[str] = field(default_factory=set)  # activations with nothing left to do
    over: set[str] = field(default_factory=set)  # activations that ended
    events: bool = False
    letters: bool = False  # there are dead batches for queues
    unused: list[str] = field(default_factory=list)  # files that no row refers to any more
    written: int = 0  # bytes written besides those in the fields above, about

    def seen(self, activation_id: str) -> None:
        """Note that the operation itself includes what the engine decides: the engine need not look again."""
        self.look.discard(activation_id)
        self.told |= self.news
        self.news.clear()

    def merge(self, other: Effects) -> None:
        """Add the effects of another operation of the same group."""
        self.appended += other.appended
        self.acked.update(other.acked)
        self.ended |= other.ended
        self.activations |= other.activations
        self.look |= other.look
        self.news |= other.news
        self.told |= other.told
        self.completed |= other.completed
        self.over |= other.over
        self.events |= other.events
        self.letters |= other.letters
        self.written += other.written


class Tx(Sql):
    """A write transaction, passed to the functions that change something."""

    def __init__(self, connection: sqlite3.Connection, files: RecordFiles) -> None:
        super().__init__(connection, files)
        self.effects = Effects()

    def keep(self, sent: Sent) -> list[tuple[int, Part]]:
        """Return the parts to store in rows: each a number of records, with their bytes or the range of a file that has them."""
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
        """Return the columns of a row for these bytes; when they are in a file, count one more reference to it."""
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
        self._soon_at = 0.0  # when they are due, by time.monotonic()
        self._compactions: list[Future[None]] = []
        self._wake = threading.Condition()
        self._closing = False
        self.commits = 0  # transactions so far, for benchmarks and tests
        self._unchecked = 0  # bytes written since the last checkpoint, about
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def submit(self, operation: Callable[[Tx], T]) -> Future[T]:
        """Run `operation` in a transaction; the future is done after the commit, or holds what the operation raised.

        An operation that raises is rolled back alone; the others of its group are committed.
        """
        future: Future[T] = Future()
        with self._wake:
            if self._closing:
                raise RuntimeError("the store is closed")
            self._waiting.append((operation, future))
            self._wake.notify()
        return future

    def submit_soon(self, operation: Operation) -> None:
        """Run `operation` at the beginning of the next transaction, or after SOON_SECONDS in one of its own.

        For display only: it is lost when the process dies before the commit.
        """
        with self._wake:
            if self._closing:
                return
            self._soon.append((operation, Future()))
            if len(self._soon) == 1:
                self._soon_at = time.monotonic() + SOON_SECONDS
                self._wake.notify()

    def compact(self) -> Future[None]:
        """Rewrite the database without its free pages; all other operations wait meanwhile."""
        future: Future[None] = Future()
        with self._wake:
            if self._closing:
                raise RuntimeError("the store is closed")
            self._compactions.append(future)
            self._wake.notify()
        return future

    @property
    def waiting(self) -> int:
        """Return how many operations wait for the next transaction."""
        return len(self._waiting)

    def close(self) -> None:
        """Commit the waiting operations, checkpoint, and end the thread."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()
        with suppress(sqlite3.DatabaseError):  # a full disk: committed data stays in the WAL
            self._connection.execute("pragma wal_checkpoint(truncate)")
        self._connection.close()
        self._files.close()

    def _run(self) -> None:
        while (group := self._next_group()) is not None:
            # From here on the futures cannot be cancelled: a cancelled one could not take the result.
            self._commit([(operation, future) for operation, future in group if future.set_running_or_notify_cancel()])
            self._checkpoint()
            while self._compactions:
                self._compact(self._compactions.pop())

    def _next_group(self) -> list[tuple[Operation, Future[Any]]] | None:
        """Wait for operations and return them; None when the thread should end."""
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
        """Run the operations in one transaction. On a full disk, empty the WAL and try once more."""
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
            self._files.sync()  # before the commit that refers to them
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
            raise  # the disk failed, not this operation: the whole group fails
        except Unwritable:
            raise  # the same for a file of records
        except Exception as error:  # any error goes to whoever submitted the operation
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
        # A passive checkpoint never waits for a reader; the next one moves what this one cannot. On a disk that is
        # nearly full every commit is checkpointed: the WAL cannot be emptied where the database has no room to grow.
        room = _room(self._path)
        is_short = room < ROOM_BYTES
        if self._unchecked < CHECKPOINT_BYTES <= room:
            return
        self._unchecked = 0
        with suppress(sqlite3.DatabaseError):  # the next commit reports a bad disk
            self._connection.execute(f"pragma wal_checkpoint({'truncate' if is_short else 'passive'})")


def _is_full(error: BaseException | None) -> bool:
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL or getattr(error, "errno", None) in FULL


def _inline_bytes(effects: Effects) -> int:
    """Return how many bytes of records the transaction wrote."""
    parts = (part for appended in effects.appended for part in appended.segment.parts)
    return sum(len(part) for part in parts if isinstance(part, bytes))


def _room(path: Path) -> int:
    """Return the free bytes of a file's disk; a large number when unknown."""
    try:
        found = os.statvfs(path)
    except OSError:
        return CHECKPOINT_BYTES
    return found.f_bavail * found.f_frsize


def _give_back(connection: sqlite3.Connection, path: Path) -> bool:
    """Checkpoint and empty the WAL; return whether that has freed space."""
    log = path.with_name(f"{path.name}-wal")
    try:
        before = log.stat().st_size
        connection.execute("pragma wal_checkpoint(truncate)")
        return log.stat().st_size < before
    except (OSError, sqlite3.DatabaseError):
        return False

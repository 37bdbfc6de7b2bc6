"""Opens the database: pragmas, schema, errors."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fabric_jobs.errors import PlaceUnavailable
from fabric_jobs.store.files import Unwritable
from fabric_jobs.store.sql import HERE

PAGE_SIZE = 8192


def open_writer(path: Path) -> sqlite3.Connection:
    """Open the database for the one writer and update its schema; raise PlaceUnavailable when that fails."""
    with _opened(path) as connection:
        connection.execute(f"pragma page_size = {PAGE_SIZE}")
        is_new = not connection.execute("pragma page_count").fetchone()[0]
        # Nobody relies on a new database yet: one sync is enough, at the checkpoint, together with its directory.
        connection.execute(f"pragma synchronous = {'off' if is_new else 'full'}")
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma foreign_keys = on")
        connection.execute("pragma wal_autocheckpoint = 0")  # the writer checkpoints between transactions
        connection.execute(
            "pragma secure_delete = off"
        )  # on in some builds, where every deleted record is written twice
        connection.execute("pragma cache_size = -4096")
        _migrate(connection, path)
    return connection


def open_reader(path: Path) -> sqlite3.Connection:
    """Open the database read-only; raise PlaceUnavailable when it cannot be read."""
    with _opened(path) as connection:
        connection.execute("pragma query_only = on")
        connection.execute("pragma cache_size = -1024")
    return connection


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Yield a connection for the caller to set up and keep; close it when the setup fails. Raises what `translated` does."""
    with translated(path):
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            connection.row_factory = sqlite3.Row
            yield connection
        except BaseException:
            connection.close()
            raise


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn the errors that SQLite and files of records raise for a bad disk into PlaceUnavailable."""
    try:
        yield
    except (sqlite3.DatabaseError, Unwritable) as error:
        raise PlaceUnavailable(
            f"the state in {path} cannot be used: {error}",
            hint=f"Check that {path.parent} is on a disk with free space, and that this user may write to it.",
        ) from error


def schema_steps() -> list[Path]:
    """Return the schema's migration files, in order."""
    return sorted((HERE / "schema").glob("*.sql"))


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Apply the missing migrations in one transaction, and sync it to the disk."""
    version = connection.execute("pragma user_version").fetchone()[0]
    steps = schema_steps()
    if version > len(steps):
        raise PlaceUnavailable(
            f"the state in {path} was written by a newer fabric-jobs (schema {version}; this version supports {len(steps)}).",
            hint="Upgrade fabric-jobs, or use another --state-dir.",
        )
    if version < len(steps):
        missing = "\n".join(step.read_text() for step in steps[version:])
        connection.executescript(f"begin immediate;\n{missing}\npragma user_version = {len(steps)};\ncommit;")
    connection.execute("pragma synchronous = full")
    if version < len(steps):
        connection.execute("pragma wal_checkpoint(truncate)")  # a new database's log is larger than the database

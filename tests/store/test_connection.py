"""Opening the database, and the errors if that fails."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from fabric_jobs.errors import PlaceUnavailable
from fabric_jobs.store import Store, activations, connection, definitions
from fabric_jobs.store.connection import PAGE_SIZE, open_reader, open_writer, schema_steps
from tests.factories import add_activation


def test_the_schema_is_made_once_and_found_again(tmp_path: Path) -> None:
    first = Store(tmp_path / "state.db")
    add_activation(first, "a1")
    first.close()
    second = Store(tmp_path / "state.db")
    assert activations.find(second.read, "a1") is not None
    second.close()


def test_a_commit_is_on_the_disk_when_it_is_answered(tmp_path: Path) -> None:
    connection = open_writer(tmp_path / "state.db")
    assert connection.execute("pragma journal_mode").fetchone()[0] == "wal"
    assert connection.execute("pragma synchronous").fetchone()[0] == 2  # FULL
    assert connection.execute("pragma foreign_keys").fetchone()[0] == 1
    connection.close()


def test_the_state_of_an_older_version_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    older = sqlite3.connect(path)
    older.executescript(schema_steps()[0].read_text() + "pragma user_version = 1;")
    older.execute("insert into definitions values ('p', 'skill', 's', 1, 'h', '{}', '/s', 1.0)")
    columns: tuple[str, ...] = (
        "activation_id",
        "project_id",
        "kind",
        "name",
        "entry",
        "pins",
        "state",
        "session_id",
        "correlation_id",
    )
    columns += ("username", "workspace", "payload", "properties", "headers", "started_at")
    values = (
        "a1",
        "p",
        "skill",
        "s",
        "in",
        '{"skills": {"s": 1}}',
        "PENDING",
        "a1",
        "a1",
        "me",
        "",
        b"1",
        "{}",
        "{}",
        1.0,
    )
    older.execute(f"insert into activations ({', '.join(columns)}) values ({', '.join('?' * len(values))})", values)
    older.commit()
    older.close()

    store = Store(path)

    activation, skill = activations.find(store.read, "a1"), definitions.find(store.read, "p", "skill", "s")
    assert activation is not None
    assert skill is not None
    assert (activation.executor, skill.source, skill.images) == ("local", "/s", {})
    store.close()


def test_a_newer_schema_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    open_writer(path).close()
    newer = sqlite3.connect(path)
    newer.execute("pragma user_version = 99")
    newer.close()
    with pytest.raises(PlaceUnavailable, match=r"newer fabric-jobs \(schema 99") as caught:
        Store(path)
    assert "Upgrade" in caught.value.hint
    check = sqlite3.connect(path)
    assert check.execute("pragma user_version").fetchone()[0] == 99
    check.close()


@pytest.mark.parametrize(
    "content", [b"this is no database, it is a text of some length\n" * 100, b"SQLite format 3\0" * 99]
)
def test_what_is_not_a_database_is_said_in_words_and_not_touched(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(content)
    with pytest.raises(PlaceUnavailable, match=str(path)):
        Store(path)
    assert path.read_bytes() == content


def test_a_directory_that_is_missing_is_said_in_words(tmp_path: Path) -> None:
    with pytest.raises(PlaceUnavailable, match="nowhere"):
        Store(tmp_path / "nowhere" / "state.db")


def test_a_read_only_disk_is_said_in_words(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(disk)], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("a file system cannot be mounted here")
    try:
        with pytest.raises(PlaceUnavailable, match=str(disk)) as caught:
            Store(disk / "state.db")
        assert "may write to" in caught.value.hint
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_reader_cannot_write(tmp_path: Path) -> None:
    open_writer(tmp_path / "state.db").close()
    reader = open_reader(tmp_path / "state.db")
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.execute("delete from settings")
    reader.close()


def open_files(path: Path) -> int:
    """Return how many open descriptors of this process are for a database or SQLite's files beside it."""
    found = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            found += os.readlink(descriptor).startswith(str(path))
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="descriptors are counted in /proc")
def test_a_database_that_cannot_be_opened_is_let_go(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(b"SQLite format 3\0" * 99)
    for opens in (open_writer, open_reader):
        with suppress(PlaceUnavailable):
            opens(path).close()
    assert open_files(path) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="descriptors are counted in /proc")
def test_the_reader_of_a_thread_that_has_ended_is_closed_when_the_next_one_is_opened(store: Store) -> None:
    def read_in_a_thread() -> None:
        reader = threading.Thread(target=lambda: store.read.one("setting", key="token"))
        reader.start()
        reader.join(30)

    read_in_a_thread()
    before = open_files(store.path)
    for _ in range(20):
        read_in_a_thread()
    assert open_files(store.path) <= before + 1


def test_the_steps_to_a_newer_schema_are_made_all_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state.db"
    older = sqlite3.connect(path)
    older.executescript(schema_steps()[0].read_text() + "pragma user_version = 1;")
    older.close()
    broken = tmp_path / "999_broken.sql"
    broken.write_text("create table never (x integer) strict; select * from absent;")
    monkeypatch.setattr(connection, "schema_steps", lambda: [*schema_steps(), broken])
    with pytest.raises(PlaceUnavailable, match="no such table: absent"):
        open_writer(path)
    monkeypatch.undo()
    found = sqlite3.connect(path)
    assert found.execute("pragma user_version").fetchone() == (1,)
    found.close()
    open_writer(path).close()


def test_a_new_database_is_on_the_disk_before_anything_is_written_to_it(tmp_path: Path) -> None:
    opened = open_writer(tmp_path / "state.db")
    assert (
        tmp_path / "state.db-wal"
    ).stat().st_size == 0  # the log, which a loss of power may tear, is synced into the database
    assert (tmp_path / "state.db").stat().st_size == opened.execute("pragma page_count").fetchone()[0] * PAGE_SIZE
    opened.close()

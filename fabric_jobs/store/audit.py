"""Audit: counts every record of a database and finds inconsistencies, in one read transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from fabric_jobs.errors import PlaceUnavailable, RecordsDamaged
from fabric_jobs.state_dir import records_dir
from fabric_jobs.store import channels
from fabric_jobs.store.connection import open_reader, open_writer, translated
from fabric_jobs.store.files import RecordFiles
from fabric_jobs.store.sql import Row, Sql

STEPS = 10_000  # of SQLite's virtual machine between two checks whether to stop
FILES_SINCE = 5  # the schema version that added files of records
SECRETS_SINCE = 9  # the schema that has secrets
SHOWN = 1000  # violations that are described

Stop = Callable[[], bool]


@dataclass(kw_only=True)
class Audit:
    """What was counted, and a description of everything wrong."""

    activations: int = 0
    tasks: int = 0
    channels: int = 0
    records: int = 0  # appended to channels, and acknowledged to their senders
    finished: int = 0  # of these: finished by the skill that reads them
    waiting: int = 0  # of these: not finished yet
    responses: int = 0  # of these: part of a response, which no skill reads
    dropped: int = 0  # arrived after their reader had ended; not among `records`
    dead_letters: int = 0
    content: int = 0  # keys
    looked_at: int = 0  # records whose bytes were read and counted
    violations: list[str] = field(default_factory=list)

    def wrong(self, text: str) -> None:
        """Note a violation."""
        if len(self.violations) < SHOWN:
            self.violations.append(text)


@contextmanager
def snapshot(path: Path, stop: Stop) -> Iterator[Sql]:
    """Open the database for one read transaction; raise PlaceUnavailable when it cannot be read or `stop` returns true."""
    connection = open_reader(path)
    connection.set_progress_handler(lambda: 1 if stop() else 0, STEPS)
    try:
        with translated(path):
            connection.execute("begin")
            yield Sql(connection, RecordFiles(records_dir(path.parent)))
    except PlaceUnavailable as error:
        if not stop():
            raise
        raise PlaceUnavailable("the owner is ending.", hint="Type the command again.") from error
    finally:
        connection.close()


def audit(path: Path, stop: Stop = lambda: False) -> Audit:
    """Check everything. Where SQLite cannot read on, that is a violation, not an error."""
    found = Audit()
    with snapshot(path, stop) as sql:
        for part in (_pages, _references, _rows, _channels, _held, _tasks):
            try:
                part(sql, found)
            except sqlite3.DatabaseError as error:
                if stop():
                    raise
                found.wrong(f"the database cannot be read: {error}")
    return found


def try_wal(directory: Path) -> None:
    """Create a database in `directory` and use it as an owner does; raise PlaceUnavailable when that fails."""
    path = directory / "try.db"
    with translated(path):
        writer = open_writer(path)
        try:
            sql = Sql(writer, RecordFiles(records_dir(path.parent)))
            sql.run("put_setting", key="try", value="1")
            with snapshot(path, lambda: False) as reader:
                row = reader.one("setting", key="try")
            mode = sql.one("journal_mode")
        finally:
            writer.close()
    if row is None or mode is None or mode["mode"] != "wal":
        raise PlaceUnavailable(
            f"the database in {directory} cannot be read while it is being written.",
            hint="Use a --state-dir on a local disk.",
        )


def quick_check(path: Path, *, whole: bool) -> tuple[int, list[str]]:
    """Return the schema version of a database, and what SQLite's check of its pages finds wrong."""
    with snapshot(path, lambda: False) as sql:
        try:
            row = sql.one("schema_version")
            found = _problems(sql.all("check_pages_quickly")) if whole else []
            return int(row["version"]) if row is not None else 0, found
        except sqlite3.DatabaseError as error:
            return 0, [str(error)]


def setting(path: Path, key: str) -> str | None:
    """Return a setting of a database, whether or not an owner has it open; raise PlaceUnavailable when it is not ours."""
    with snapshot(path, lambda: False) as sql:
        if _is_empty(sql):
            return None
        row = sql.one("setting", key=key)
        return None if row is None else str(row["value"])


def files_of(path: Path) -> list[tuple[str, int]]:
    """Return each file that a database refers to, relative to the directory of records, and where the last reference ends."""
    with snapshot(path, lambda: False) as sql:
        version = sql.one("schema_version")
        found = sql.all("files") if version is not None and version["version"] >= FILES_SINCE else []
    return [(row["name"], row["size"]) for row in found if row["refs"]]


def secret_key_ids(path: Path) -> list[str]:
    """Return which key seals each secret of a database; raise PlaceUnavailable as `setting` does."""
    with snapshot(path, lambda: False) as sql:
        version = sql.one("schema_version")
        found = sql.all("secrets_of_all") if version is not None and version["version"] >= SECRETS_SINCE else []
    return [row["key_id"] for row in found]


def attempt_names(path: Path) -> frozenset[str]:
    """Return the directory names of all attempts, including those of daemons; raise PlaceUnavailable as `setting` does."""
    with snapshot(path, lambda: False) as sql:
        found = [] if _is_empty(sql) else sql.all("attempt_names")
    return frozenset(Path(row["handle"] or row["name"]).name for row in found)


def unaccepted(path: Path) -> frozenset[str]:
    """Return the directory names of attempts that no place is known to have accepted: their owner hands them over again."""
    with snapshot(path, lambda: False) as sql:
        return frozenset(row["name"] for row in sql.all("attempt_names") if row["handle"] is None)


def _problems(rows: list[Row]) -> list[str]:
    """Return the problems that SQLite reports, one per line; SQLite may put several into one row."""
    lines = [line.strip() for row in rows for line in row["problem"].splitlines()]
    return [line for line in lines if line != "ok" and not line.startswith("***")]


def _is_empty(sql: Sql) -> bool:
    row = sql.one("schema_version")
    return row is None or row["version"] == 0


def _pages(sql: Sql, found: Audit) -> None:
    for problem in _problems(sql.all("check_pages")):
        found.wrong(f"the database file is damaged: {problem}")


def _references(sql: Sql, found: Audit) -> None:
    for row in sql.all("check_references"):
        found.wrong(f"a row of {row['name']} refers to a missing row of {row['parent']}")


def _rows(sql: Sql, found: Audit) -> None:
    row = sql.one("row_counts")
    assert row is not None
    found.activations, found.tasks = row["activations"], row["tasks"]
    found.dead_letters = row["dead_letters"]


def _channels(sql: Sql, found: Audit) -> None:
    ranges = {row["channel_id"]: row for row in sql.all("ranges_by_channel")}
    for channel in sql.all("audited_channels"):
        found.channels += 1
        found.records += channel["next_offset"]
        found.dropped += channel["dropped"]
        if channel["node"]:
            found.finished += channel["acked"] + channel["ahead"]
            found.waiting += channel["next_offset"] - channel["acked"] - channel["ahead"]
        else:
            found.responses += channel["next_offset"]
        name = f"channel {channel['channel_id']} of activation {channel['activation_id']}"
        _cursors(channel, ranges.get(channel["channel_id"]), name, found)
        _segments(sql, channel, name, found)


def _cursors(channel: Row, ranges: Row | None, name: str, found: Audit) -> None:
    end, acked, taken = channel["next_offset"], channel["acked"], channel["dispatched"]
    for count, words in ((acked, "finished"), (taken, "taken by tasks")):
        if not 0 <= count <= end:
            found.wrong(f"{name}: {count} records are {words}, but {end} were stored")
    count, low, high = (ranges["count"], ranges["low"], ranges["high"]) if ranges is not None else (0, acked, acked)
    if low < acked or high > end:
        found.wrong(f"{name}: {acked} records are finished of {end}, but ranges of it go from {low} to {high}")
    if channel["opens"]:
        return  # one task takes whatever comes
    if not channel["closed"] and count != max(0, taken - acked):
        found.wrong(f"{name}: {taken - acked} records are taken and not acknowledged, but {count} are held or finished")


def _segments(sql: Sql, channel: Row, name: str, found: Audit) -> None:
    at: int | None = None  # the next offset
    first = size = 0
    for row in sql.each("audited_segments", channel_id=channel["channel_id"]):
        if at is None:
            at = first = row["first_offset"]
        if row["first_offset"] != at:
            found.wrong(f"{name}: the segment after offset {at} begins at {row['first_offset']}")
        at = row["first_offset"] + row["count"]
        segment = channels.segment_of(sql, row)
        size += segment.size
        try:
            data = segment.bytes
        except RecordsDamaged as error:
            found.wrong(f"{name}: {error.message}")
            continue
        lines = data.count(b"\n")
        if lines != row["count"] or not data.endswith(b"\n"):
            found.wrong(f"{name}: the segment at {row['first_offset']} has {lines} lines for {row['count']} records")
        found.looked_at += lines
    _ends(channel, name, found, (first, at, size))


def _ends(channel: Row, name: str, found: Audit, seen: tuple[int, int | None, int]) -> None:
    """Check that every record is there, from the first that may still be needed to the last."""
    first, at, size = seen
    wanted = channel["acked"] if channel["node"] else 0
    end = channel["next_offset"]
    if at is None:
        if wanted < end:
            found.wrong(f"{name}: records {wanted} to {end - 1} are missing")
        return
    if first > wanted and first < end:
        found.wrong(f"{name}: records {wanted} to {first - 1} are missing")
    if at != end:
        found.wrong(f"{name}: its records end at {at}, but {end} were stored")
    if first == 0 and size != channel["size"]:
        found.wrong(f"{name}: its records have {size} bytes, but {channel['size']} were stored")


def _held(sql: Sql, found: Audit) -> None:
    for row in sql.each("audited_held"):
        part = sql.part(row)
        try:
            data = part if isinstance(part, bytes) else part.read()
        except RecordsDamaged as error:
            found.wrong(f"task {row['task']}: {error.message}")
            continue
        if data.count(b"\n") != row["count"]:
            found.wrong(f"task {row['task']}: what it holds back has {data.count(10)} lines for {row['count']} records")


def _tasks(sql: Sql, found: Audit) -> None:
    said: Mapping[str, Callable[[Row], str]] = {
        "complete_without_exit": lambda row: f"task {row['name']} is COMPLETE, but its program did not exit with 0",
        "ended_without_time": lambda row: (
            f"{row['kind']} {row['name']}: its state and its end time contradict each other"
        ),
        "live_in_ended": lambda row: (
            f"task {row['name']} is unfinished in activation {row['activation_id']}, which ended {row['state']}"
        ),
        "wrong_totals": lambda row: f"{row['what']} {row['name']}: its totals differ from the sum of its rows",
        "wrong_files": lambda row: (
            f"file {row['name']}: {row['refs']} rows are said to refer to it, but {row['found']} do"
        ),
        "attempt_missing": lambda row: f"task {row['name']} is at attempt {row['attempt']}, which is missing",
    }
    for query, words in said.items():
        for row in sql.all(query):
            found.wrong(words(row))

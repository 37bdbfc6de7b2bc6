"""Named statements over one SQLite connection."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fabric_jobs.records import Part
from fabric_jobs.store.files import RecordFiles

HERE = Path(__file__).parent
Row = Mapping[str, Any]


def load_queries(text: str) -> dict[str, str]:
    """Return the statements of a file by name; each begins with `-- name: x`."""
    parts = re.split(r"^-- name: (\w+)\n", text, flags=re.MULTILINE)
    return {name: body.strip() for name, body in zip(parts[1::2], parts[2::2], strict=True)}


QUERIES = {
    name: text
    for path in sorted((HERE / "queries").glob("*.sql"))
    for name, text in load_queries(path.read_text()).items()
}


class Sql:
    """One connection, and the named statements of the folder `queries`."""

    def __init__(self, connection: sqlite3.Connection, files: RecordFiles) -> None:
        self.connection = connection
        self.files = files

    def one(self, query: str, **values: Any) -> Row | None:
        """Return the first row, or None when there is none."""
        row: Row | None = self.connection.execute(QUERIES[query], values).fetchone()
        return row

    def all(self, query: str, **values: Any) -> list[Row]:
        """Return all rows."""
        return self.connection.execute(QUERIES[query], values).fetchall()

    def each(self, query: str, **values: Any) -> Iterator[Row]:
        """Yield all rows, one in memory at a time."""
        return self.connection.execute(QUERIES[query], values)

    def run(self, query: str, **values: Any) -> int:
        """Run a statement; return how many rows it changed."""
        return self.connection.execute(QUERIES[query], values).rowcount

    def insert(self, query: str, **values: Any) -> int:
        """Insert a row; return its integer key."""
        key = self.connection.execute(QUERIES[query], values).lastrowid
        assert key is not None
        return key

    def part(self, row: Row) -> Part:
        """Return the bytes of a row, or where they are. It has the columns `bytes`, `name` (of a file), `at`, `size` and `crc`."""
        if row["crc"] is None:
            data: bytes = row["bytes"]
            return data
        return self.files.ref(row["name"] or "a file that is not known", row["at"], row["size"], row["crc"])

"""Named statements over one SQLite connection."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from fabric_jobs.records import Part
from fabric_jobs.store.files import RecordFiles

HERE = Path(__file__).parent
Row = Mapping[str, Any]
EITHER = re.compile(r"\{([^{}|]*)\|([^{}|]*)\}")
PART = re.compile(r"\{(\w+)\}")


def load_queries(text: str) -> dict[str, str]:
    """Return the statements of a file by name; each begins with `-- name: x`.

    `-- name: x, y` begins two statements, which differ where the text has `{of x|of y}`. `-- part: z` begins a text that `{z}`
    stands for.
    """
    pieces = re.split(r"^-- (name|part): (\w+(?:, \w+)?)\n", text, flags=re.MULTILINE)[1:]
    found, parts = dict[str, str](), dict[str, str]()
    for kind, names, body in zip(pieces[::3], pieces[1::3], pieces[2::3], strict=True):
        for index, name in enumerate(names.split(", ")):
            (parts if kind == "part" else found)[name] = EITHER.sub(partial(_chosen, index), body.strip())
    return {name: PART.sub(lambda part: parts[part[1]], body) for name, body in found.items()}


def _chosen(index: int, either: re.Match[str]) -> str:
    return str(either[1 + index])


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

"""Chooses the statement, and with it the index, that reads the fewest rows for a page of a list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fabric_jobs.store.sql import Sql

MANY = 1000  # rows: more of them are not counted


def narrowest(sql: Sql, ways: Mapping[str, bool], values: Mapping[str, Any], default: str) -> str:
    """Return the statement for a filter; `ways` says of each statement whether the filter has what it looks up.

    Those that leave few rows to look through win; of those that leave many, the first.
    """
    given = [way for way, is_given in ways.items() if is_given]
    if len(given) < 2:
        return given[0] if given else default
    return min(given, key=lambda way: count(sql, way, values))


def count(sql: Sql, way: str, values: Mapping[str, Any]) -> int:
    """Return how many rows a statement looks through, at most MANY."""
    row = sql.one(f"{way}_count", **{**values, "most": MANY})
    return 0 if row is None else int(row["count"])

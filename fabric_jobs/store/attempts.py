"""The attempts of an activation, for progress."""

from __future__ import annotations

from fabric_jobs.store.sql import Sql

NEWEST = 32  # tasks read besides the live ones: an activation may have had millions


def recent(sql: Sql, activation_id: str) -> list[tuple[str, str]]:
    """Return node and handle of current attempts, newest first: those of live tasks and of the newest tasks."""
    rows = sql.all("recent_attempts", activation_id=activation_id, newest=NEWEST)
    return [(row["node"], row["handle"]) for row in rows]

"""Counts over everything, for who watches an owner; each reads a whole table, so none of it belongs into the way of a request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fabric_jobs.store.sql import Sql


@dataclass(frozen=True, kw_only=True)
class Totals:
    """What a state directory holds."""

    activations: dict[str, int]  # by state
    tasks: dict[str, int]  # by state
    records_appended: int
    bytes_appended: int
    records_acked: int
    dead_letters: int
    events: int


def totals(sql: Sql) -> Totals:
    """Return the counts of all projects."""
    channels = sql.one("channel_totals")
    others = sql.one("other_totals")
    assert channels is not None, "an aggregate has one row"
    assert others is not None, "so has this one"
    return Totals(
        activations={row["state"]: row["count"] for row in sql.all("activation_states")},
        tasks={row["state"]: row["count"] for row in sql.all("task_states")},
        records_appended=channels["appended"],
        bytes_appended=channels["bytes"],
        records_acked=channels["acked"],
        dead_letters=others["dead_letters"],
        events=others["events"],
    )


@dataclass(frozen=True, kw_only=True)
class Span:
    """When the tasks of one node ran, and what became of them."""

    node: str
    started_at: float | None
    ended_at: float | None
    live: int
    failed: int


def spans(sql: Sql, activation_id: str) -> dict[str, Span]:
    """Return when the tasks of each node of an activation ran."""
    found: dict[str, Span] = {}
    for row in sql.all("task_spans", activation_id=activation_id):
        values: dict[str, Any] = dict(zip(row.keys(), row, strict=True))
        found[row["node"]] = Span(**values)
    return found

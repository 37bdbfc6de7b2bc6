"""Counts of a whole state directory (reads whole tables, outside of requests) and of one activation (reads few rows)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fabric_jobs.store.sql import Row, Sql


@dataclass(frozen=True, kw_only=True)
class Totals:
    """The counts of a state directory."""

    activations: dict[str, int]  # by state
    tasks: dict[str, int]  # by state
    records_appended: int
    bytes_appended: int
    records_acked: int
    dead_letters: int
    events: int


def totals(sql: Sql) -> Totals:
    """Return the counts over all projects."""
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
class NodeTotals:
    """Totals of the tasks of one node of an activation."""

    states: Mapping[str, int]  # number of tasks in each
    sent: int  # records that they committed
    started_at: float | None  # of the first task to run
    ended_at: float | None  # of the last task to end


def by_node(sql: Sql, activation_id: str) -> dict[str, NodeTotals]:
    """Return the totals of each node; ended tasks were counted when they ended."""
    rows: dict[str, list[Row]] = {}
    for row in sql.all("totals_by_node", activation_id=activation_id):
        rows.setdefault(row["node"], []).append(row)
    return {
        node: NodeTotals(
            states={row["state"]: row["count"] for row in found},
            sent=sum(row["sent"] for row in found),
            started_at=min((row["started_at"] for row in found if row["started_at"] is not None), default=None),
            ended_at=max((row["ended_at"] for row in found if row["ended_at"] is not None), default=None),
        )
        for node, found in rows.items()
    }

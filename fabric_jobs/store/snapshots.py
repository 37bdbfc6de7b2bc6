"""Snapshots: an agent and its skills in fixed versions."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field
from typing import Any

from fabric_jobs.errors import AlreadyExists
from fabric_jobs.store.sql import Row, Sql
from fabric_jobs.store.writer import Tx


@dataclass(frozen=True, kw_only=True)
class AgentSnapshot:
    """An agent and its skills in fixed versions, to be invoked later."""

    snapshot_id: str
    project_id: str
    agent_name: str
    title: str
    pins: dict[str, Any]  # as those of an activation
    created_by: str
    created_at: float = field(default_factory=time.time)

    @classmethod
    def from_row(cls, row: Row) -> AgentSnapshot:
        """Build it from a row of `snapshots`."""
        values: dict[str, Any] = {key: row[key] for key in cls.__dataclass_fields__}
        return cls(**{**values, "pins": json.loads(row["pins"])})


def create(tx: Tx, new: AgentSnapshot) -> AgentSnapshot:
    """Store a snapshot and return it; a repeated request returns the first one. Raise AlreadyExists for a used id."""
    tx.run("insert_snapshot", **{**asdict(new), "pins": json.dumps(new.pins)})
    found = find(tx, new.project_id, new.snapshot_id)
    if found is None or (found.agent_name, found.title) != (new.agent_name, new.title):
        raise AlreadyExists(f"there is another snapshot '{new.snapshot_id}'.", hint="Leave 'snapshotId' out.")
    return found


def find(sql: Sql, project_id: str, snapshot_id: str) -> AgentSnapshot | None:
    """Return a snapshot; None when there is none of that id."""
    row = sql.one("snapshot", project_id=project_id, snapshot_id=snapshot_id)
    return None if row is None else AgentSnapshot.from_row(row)


def delete(tx: Tx, project_id: str, snapshot_id: str) -> bool:
    """Delete a snapshot; return whether it existed. Its activations have their own pins."""
    return bool(tx.run("delete_snapshot", project_id=project_id, snapshot_id=snapshot_id))


def of_agent(sql: Sql, project_id: str, agent_name: str) -> list[AgentSnapshot]:
    """Return the snapshots of an agent, newest first."""
    rows = sql.all("snapshots_of_agent", project_id=project_id, agent_name=agent_name)
    return [AgentSnapshot.from_row(row) for row in rows]

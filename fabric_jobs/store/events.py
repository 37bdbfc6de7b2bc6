"""Events: each move of a state adds one, with a growing number."""

from __future__ import annotations

import json
import time
from typing import Any

from fabric_jobs.records import Event
from fabric_jobs.store.sql import Sql
from fabric_jobs.store.writer import Tx

# Events of the engine's own steps, and those that change none of its decisions: it need not look again after them.
QUIET = frozenset({"task.STARTING", "task.ACTIVE", "record.dead"})


def record(
    tx: Tx, kind: str, *, project_id: str, activation_id: str | None, task_id: int | None = None, **body: Any
) -> None:
    """Add an event in the transaction of its move."""
    tx.run(
        "insert_event",
        project_id=project_id,
        activation_id=activation_id,
        task_id=task_id,
        kind=kind,
        body=json.dumps(body, separators=(",", ":")),
        at=time.time(),
    )
    tx.effects.events = True
    if activation_id is not None:
        tx.effects.activations.add(activation_id)
        if kind not in QUIET:
            tx.effects.look.add(activation_id)


def after(
    sql: Sql, number: int, *, project_id: str, activation_id: str | None = None, limit: int = 1000
) -> list[Event]:
    """Return the events after `number`, oldest first."""
    query = "events_after" if activation_id is None else "events_of_activation"
    rows = sql.all(query, after=number, project_id=project_id, activation_id=activation_id, limit=limit)
    return [Event.from_row(row) for row in rows]

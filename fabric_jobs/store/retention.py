"""Retention: selects activations to delete, and deletes them in transactions of bounded size.

An activation is hidden first and then deleted in parts. So nobody sees a partial one, and an interrupted deletion can continue.
Numbers are never reused: the activation that has the newest number of a task, channel or dead letter stays until there is a
newer one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fabric_jobs.states import ActivationState
from fabric_jobs.store.connection import PAGE_SIZE
from fabric_jobs.store.sql import Sql
from fabric_jobs.store.writer import Tx

ROWS = 300  # deleted per transaction: the engine waits for it, some hundredths of a second
SEGMENT_BYTES = 8 << 20  # of records deleted per transaction, about

# In this order no row refers to a deleted one. Every table that refers to an activation, a channel or a task belongs here.
PARTS = (
    "prune_segments",
    "prune_lineage",
    "prune_leases",
    "prune_finished",
    "prune_batches",
    "prune_batch_counts",
    "prune_workers",
    "prune_held",
    "prune_message_keys",
    "prune_attempts",
    "prune_events",
    "prune_dead_letters",
    "prune_tasks",
    "prune_task_totals",
    "prune_channels",
    "prune_callbacks",
    "prune_queue_letters",
    "prune_job_queues",
    "prune_payloads",
    "prune_jobs",
    "prune_activations",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Prunable:
    """An activation that may be deleted."""

    activation_id: str
    kind: str
    name: str
    state: ActivationState
    ended_at: float


@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptPlace:
    """Where an attempt is; the handle is empty until an executor has accepted it."""

    activation_id: str
    attempt_name: str
    executor: str
    handle: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """How many there are of each thing that people count."""

    activations: int
    pending: int
    tasks: int
    attempts: int
    channels: int
    records: int
    dead_letters: int
    events: int


def prunable(sql: Sql, project_id: str, *, dead_letters: bool) -> list[Prunable]:
    """Return what may be deleted, oldest first. `dead_letters` includes activations with dead letters that nobody retried."""
    rows = sql.all("prunable_activations", project_id=project_id, dead_letters=dead_letters)
    return [
        Prunable(
            activation_id=row["activation_id"],
            kind=row["kind"],
            name=row["name"],
            state=ActivationState(row["state"]),
            ended_at=row["ended_at"],
        )
        for row in rows
    ]


def newest(sql: Sql, project_id: str, limit: int) -> frozenset[str]:
    """Return the ids of the activations that ended last."""
    rows = sql.all("newest_ended_activations", project_id=project_id, limit=limit)
    return frozenset(row["activation_id"] for row in rows)


def hide(tx: Tx, activation_ids: Iterable[str], project_id: str, *, dead_letters: bool) -> list[str]:
    """Hide the activations that may be deleted now; return their ids."""
    found = []
    for activation_id in activation_ids:
        if not tx.run("hide_activation", activation_id=activation_id, project_id=project_id, dead_letters=dead_letters):
            continue
        found.append(activation_id)
        for row in tx.all("channels_of_activation", activation_id=activation_id):
            tx.effects.acked[row["channel_id"]] = row["next_offset"]  # so that caches drop its records
            tx.effects.ended.add(row["channel_id"])
    return found


def hidden(sql: Sql, limit: int) -> list[str]:
    """Return the ids of activations that are being deleted."""
    return [row["activation_id"] for row in sql.all("hidden_activations", limit=limit)]


def delete_some(tx: Tx, activation_ids: Iterable[str]) -> bool:
    """Delete one transaction's worth of rows of hidden activations; return whether all are gone."""
    left = ROWS
    for activation_id in activation_ids:
        for query in PARTS:
            deleted = tx.run(query, activation_id=activation_id, limit=left, size=SEGMENT_BYTES)
            left -= deleted
            tx.effects.written += deleted * PAGE_SIZE
            if left <= 0 or (deleted and query == "prune_segments"):  # the limit may have been the bytes
                return False
    return True


def places(sql: Sql, activation_id: str | None = None) -> list[AttemptPlace]:
    """Return where the attempts of one activation, or of all, are."""
    query = "all_attempt_places" if activation_id is None else "attempt_places"
    rows = sql.all(query, activation_id=activation_id)
    return [
        AttemptPlace(
            activation_id=activation_id or row["activation_id"],
            attempt_name=f"{row['name']}-{row['attempt']}",
            executor=row["executor"],
            handle=row["handle"],
        )
        for row in rows
    ]


def names(sql: Sql) -> dict[str, tuple[str, str]]:
    """Return name and state of every activation."""
    return {row["activation_id"]: (row["name"], row["state"]) for row in sql.all("activation_names")}


def record_bytes(sql: Sql) -> dict[str, int]:
    """Return the approximate bytes of each activation in the database; reads every segment's row."""
    return {row["activation_id"]: int(row["size"]) for row in sql.all("activation_bytes")}


def file_bytes(sql: Sql) -> dict[str, int]:
    """Return the bytes of each activation in files; reads every segment's row."""
    return {row["activation_id"]: int(row["size"]) for row in sql.all("activation_file_bytes")}


def counts(sql: Sql) -> Counts:
    """Return the counts of a state directory."""
    row = sql.one("row_counts")
    assert row is not None
    return Counts(**{key: int(row[key]) for key in Counts.__dataclass_fields__})


def page_bytes(sql: Sql) -> tuple[int, int]:
    """Return the size of the database and its free part, in bytes."""
    row = sql.one("database_pages")
    assert row is not None
    return row["pages"] * row["page_size"], row["free"] * row["page_size"]

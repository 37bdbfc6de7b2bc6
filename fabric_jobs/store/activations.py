"""Activations: one row each, PENDING until it ends."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fabric_jobs.records import Activation
from fabric_jobs.states import ActivationState, Verdict
from fabric_jobs.store import callbacks, events, lists
from fabric_jobs.store.sql import Row, Sql
from fabric_jobs.store.writer import Tx

LAST_ID = "\U0010ffff"  # sorts after every id


@dataclass(frozen=True, kw_only=True)
class NewActivation:
    """The values that an activation starts with."""

    activation_id: str
    project_id: str
    kind: str
    name: str
    entry: str
    pins: dict[str, Any]
    payload: bytes
    session_id: str
    correlation_id: str
    username: str
    workspace: str = ""
    properties: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    retry_of: str | None = None
    start_node: str = ""  # a retry begins at this node
    executor: str = "local"
    admitted: bool = True
    cold: bool = False
    callback_url: str = ""  # where its record is posted at its end
    key: str = ""  # the caller's name for the invocation; empty: none


def create(tx: Tx, new: NewActivation) -> None:
    """Insert an activation, PENDING."""
    values = dict(vars(new))
    for key in ("pins", "properties", "headers"):
        values[key] = json.dumps(values[key])
    payload = values.pop("payload")
    tx.run("insert_activation", started_at=time.time(), **values)
    tx.run("insert_payload", activation_id=new.activation_id, payload=payload)
    if new.callback_url:
        callbacks.expect(tx, new.activation_id, new.project_id, new.callback_url)
    events.record(
        tx,
        "activation.PENDING",
        project_id=new.project_id,
        activation_id=new.activation_id,
        name=new.name,
        entry=new.entry,
    )


def find(sql: Sql, activation_id: str) -> Activation | None:
    """Return an activation; None when there is none of that id."""
    row = sql.one("activation", activation_id=activation_id)
    return None if row is None else Activation.from_row(row)


def beginning(sql: Sql, project_id: str, begin: str, *, limit: int) -> list[ActivationSummary]:
    """Return the activations of a project whose id begins with a text, by their ids."""
    beyond = begin + LAST_ID
    rows = sql.all("activations_beginning", project_id=project_id, begin=begin, beyond=beyond, limit=limit)
    return [ActivationSummary.from_row(row) for row in rows]


def of_key(sql: Sql, project_id: str, key: str) -> Activation | None:
    """Return the newest activation of a project that was invoked with a key, or None."""
    row = sql.one("activation_of_key", project_id=project_id, key=key)
    return None if row is None else Activation.from_row(row)


def payload(sql: Sql, activation_id: str) -> bytes:
    """Return the payload of an activation: JSON text of up to 16 MiB, or empty when there is no such activation."""
    row = sql.one("activation_payload", activation_id=activation_id)
    return b"" if row is None else bytes(row["body"])


def has_room(sql: Sql, limit: int) -> bool:
    """Return whether a new activation may run now: below the limit, and with no earlier one waiting."""
    if some_wait(sql):
        return False
    row = sql.one("admitted_activation_count")
    return row is not None and row["count"] < limit


def some_wait(sql: Sql) -> bool:
    """Return whether an activation waits for its turn."""
    return sql.one("first_waiting_activation") is not None


def waiting(sql: Sql) -> int:
    """Return how many activations wait for their turn."""
    row = sql.one("waiting_activation_count")
    return 0 if row is None else int(row["count"])


def waiting_before(sql: Sql, activation_id: str) -> int:
    """Return how many activations are ahead of a waiting one."""
    row = sql.one("waiting_activations_before", activation_id=activation_id)
    return 0 if row is None else int(row["count"])


def admit(tx: Tx, limit: int) -> list[str]:
    """Start as many waiting activations as there is room for, the oldest first; return their ids."""
    rows = tx.all("activations_to_admit", limit=limit)
    for row in rows:
        tx.run("admit_activation", activation_id=row["activation_id"])
        events.record(tx, "activation.admitted", project_id=row["project_id"], activation_id=row["activation_id"])
    return [row["activation_id"] for row in rows]


def is_pending(sql: Sql, activation_id: str) -> bool:
    """Return whether an activation has not ended."""
    return sql.one("pending_activation", activation_id=activation_id) is not None


@dataclass(frozen=True, kw_only=True)
class RunFilter:
    """Which activations or tasks to list; None matches all."""

    project_id: str
    state: str | None = None
    agent: str | None = None
    skill: str | None = None
    action: str | None = None  # of tasks only
    activation_id: str | None = None
    correlation_id: str | None = None
    start_before: float | None = None  # seconds since 1970, as in the next three
    start_after: float | None = None
    end_before: float | None = None
    end_after: float | None = None
    oldest_first: bool = False
    limit: int = 20
    skip: int = 0
    after: tuple[float, str] | None = None  # of activations: the key of the last one of the page before
    after_task: int | None = None  # the same of tasks


@dataclass(frozen=True, kw_only=True, slots=True)
class ActivationSummary:
    """What lists show of an activation."""

    activation_id: str
    kind: str  # agent | skill
    name: str
    state: ActivationState
    cause: str
    started_at: float
    ended_at: float | None
    admitted: bool

    @classmethod
    def from_row(cls, row: Row) -> ActivationSummary:
        """Build it from some columns of `activations`."""
        values: dict[str, Any] = dict(zip(row.keys(), row, strict=True))  # it iterates over its values
        return cls(**{**values, "state": ActivationState(values["state"]), "admitted": bool(values["admitted"])})

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self.state is not ActivationState.PENDING


def listed(sql: Sql, wanted: RunFilter) -> list[ActivationSummary]:
    """Return the newest activations first, or the oldest."""
    if wanted.agent and wanted.skill:
        return []  # none is of both
    low, high = _page(wanted)
    values: dict[str, Any] = {
        "project_id": wanted.project_id,
        "state": wanted.state,
        "kind": "agent" if wanted.agent else "skill" if wanted.skill else None,
        "name": wanted.agent or wanted.skill,
        "correlation_id": wanted.correlation_id,
        "end_before": wanted.end_before,
        "end_after": wanted.end_after,
        "low_at": low[0],
        "low_id": low[1],
        "high_at": high[0],
        "high_id": high[1],
    }
    way = _way(sql, values)
    order = "_oldest" if wanted.oldest_first else ""
    rows = sql.all(f"{way}{order}", limit=wanted.limit, skip=wanted.skip, **values)
    return [ActivationSummary.from_row(row) for row in rows]


def _way(sql: Sql, values: Mapping[str, Any]) -> str:
    ways = {
        "activations_of_correlation": values["correlation_id"] is not None,
        "activations_of_name": values["name"] is not None,
        "activations_in_state": values["state"] is not None,
        "activations_that_ended": values["end_before"] is not None or values["end_after"] is not None,
    }
    if ways["activations_that_ended"] and lists.count(sql, "activations_that_ended", values) >= lists.MANY:
        ways["activations_that_ended"] = False  # so many are not sorted; most are found in their order
    return lists.narrowest(sql, ways, values, "activations")


def _page(wanted: RunFilter) -> tuple[tuple[float, str], tuple[float, str]]:
    """Return the keys between which a page is, without them."""
    low = (-math.inf, "") if wanted.start_after is None else (wanted.start_after, LAST_ID)
    high = (math.inf, "") if wanted.start_before is None else (wanted.start_before, "")
    if wanted.after is None:
        return low, high
    return (max(low, wanted.after), high) if wanted.oldest_first else (low, min(high, wanted.after))


def unsettled(sql: Sql) -> list[str]:
    """Return the ids of the activations that the engine must look at when it starts."""
    return [row["activation_id"] for row in sql.all("unsettled_activations")]


def end(
    tx: Tx, activation: Activation, state: ActivationState, *, cause: str = "", error: dict[str, Any] | None = None
) -> bool:
    """End a PENDING activation and ask its live tasks to stop; return False when it had ended before."""
    moved = tx.run(
        "end_activation",
        activation_id=activation.activation_id,
        state=state.value,
        cause=cause,
        error=json.dumps(error) if error else None,
        ended_at=time.time(),
    )
    if not moved:
        return False
    tx.run(
        "ask_cancel_of_live_tasks", activation_id=activation.activation_id, cause=f"the activation ended {state.value}"
    )
    events.record(
        tx,
        f"activation.{state.value}",
        project_id=activation.project_id,
        activation_id=activation.activation_id,
        cause=cause,
        error=error,
    )
    tx.effects.over.add(activation.activation_id)
    _let_go(tx, activation.activation_id, state)
    return True


def _let_go(tx: Tx, activation_id: str, state: ActivationState) -> None:
    if state is ActivationState.COMPLETE:
        tx.effects.completed.add(activation_id)
        return
    rows = tx.all("channels_of_activation", activation_id=activation_id)
    tx.effects.ended.update(row["channel_id"] for row in rows)  # no sender or reader has to wait for them


def ask_cancel(tx: Tx, activation_id: str, project_id: str, cause: str) -> bool:
    """Set the flag that asks for cancellation; return False when the activation has ended."""
    asked = bool(tx.run("ask_activation_cancel", activation_id=activation_id, cause=cause))
    if asked:
        events.record(tx, "activation.cancel", project_id=project_id, activation_id=activation_id, cause=cause)
    return asked


def note_verdict(tx: Tx, activation_id: str, verdict: Verdict) -> None:
    """Note why a job ends early. The first reason stays; an activation that is no job has none."""
    tx.run("note_verdict", activation_id=activation_id, verdict=verdict.value)


def some_get_items(sql: Sql) -> bool:
    """Return whether a job that has not ended still gets items."""
    return sql.one("first_enumerating_job") is not None

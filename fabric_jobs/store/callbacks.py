"""Callbacks: where the records of activations are posted at their end, until they are delivered."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass

from fabric_jobs.store.sql import Row, Sql
from fabric_jobs.store.writer import Tx

KEY = "callback_key"  # the setting that all keys of projects are made from


@dataclass(frozen=True, kw_only=True)
class Callback:
    """A callback that was not delivered yet."""

    activation_id: str
    project_id: str
    url: str
    tries: int  # that failed
    next_at: float  # seconds since 1970; not before
    error: str  # of the last try
    given_up: bool

    @classmethod
    def from_row(cls, row: Row) -> Callback:
        """Build it from a row of `callbacks`."""
        values = {key: row[key] for key in cls.__dataclass_fields__}
        return cls(**{**values, "given_up": bool(row["given_up"])})


def expect(tx: Tx, activation_id: str, project_id: str, url: str) -> None:
    """Store the callback of a new activation, in the transaction that creates it."""
    tx.run("insert_callback", activation_id=activation_id, project_id=project_id, url=url)


def due(sql: Sql, now: float, limit: int) -> list[Callback]:
    """Return callbacks of ended activations whose time has come."""
    return [Callback.from_row(row) for row in sql.all("callbacks_due", now=now, limit=limit)]


def next_at(sql: Sql, now: float) -> float | None:
    """Return when the next callback of an ended activation will be due; None if none will."""
    row = sql.one("next_callback", now=now)
    return None if row is None else row["next_at"]


def some_open(sql: Sql) -> bool:
    """Return whether a callback is expected or being tried."""
    return sql.one("open_callback") is not None


def find(sql: Sql, project_id: str, activation_id: str) -> Callback | None:
    """Return the undelivered callback of an activation, or None."""
    row = sql.one("callback", activation_id=activation_id, project_id=project_id)
    return None if row is None else Callback.from_row(row)


def listed(sql: Sql, project_id: str, limit: int) -> list[Callback]:
    """Return the callbacks of a project that were not delivered."""
    return [Callback.from_row(row) for row in sql.all("callbacks_of_project", project_id=project_id, limit=limit)]


def failed(tx: Tx, callback: Callback, error: str, next_at: float, *, given_up: bool) -> None:
    """Note a failed try."""
    values = {"next_at": next_at, "error": error, "given_up": given_up}
    tx.run("callback_failed", activation_id=callback.activation_id, **values)


def retry(tx: Tx, callback: Callback) -> None:
    """Try again at once, with all tries."""
    tx.run("retry_callback", activation_id=callback.activation_id)


def delivered(tx: Tx, callback: Callback) -> None:
    """Forget a callback that was answered."""
    tx.run("delete_callback", activation_id=callback.activation_id)


def key_of(tx: Tx, project_id: str) -> str:
    """Return the key that signs the callbacks of a project; it stays the same, and other projects have others."""
    row = tx.one("setting", key=KEY)
    master = secrets.token_hex(32) if row is None else str(row["value"])
    if row is None:
        tx.run("put_setting", key=KEY, value=master)
    return hmac.new(bytes.fromhex(master), project_id.encode(), hashlib.sha256).hexdigest()

"""Secrets, sealed: this module never sees a value."""

from __future__ import annotations

from dataclasses import dataclass

from fabric_jobs.store.sql import Row, Sql
from fabric_jobs.store.writer import Tx


@dataclass(frozen=True, kw_only=True)
class SealedSecret:
    """A secret as it is stored."""

    project_id: str
    name: str
    key_id: str  # of the key that seals it
    sealed: bytes
    saved_at: float


def find(sql: Sql, project_id: str, name: str) -> SealedSecret | None:
    """Return a secret; None if there is none of that name."""
    row = sql.one("secret", project_id=project_id, name=name)
    return None if row is None else _secret(row)


def listed(sql: Sql, project_id: str) -> list[SealedSecret]:
    """Return the secrets of a project, by name."""
    return [_secret(row) for row in sql.all("secrets", project_id=project_id)]


def of_all(sql: Sql) -> list[SealedSecret]:
    """Return the secrets of all projects."""
    return [_secret(row) for row in sql.all("secrets_of_all")]


def put(tx: Tx, secret: SealedSecret) -> None:
    """Store a secret, or replace the one of that name."""
    tx.run(
        "put_secret",
        project_id=secret.project_id,
        name=secret.name,
        key_id=secret.key_id,
        sealed=secret.sealed,
        saved_at=secret.saved_at,
    )


def delete(tx: Tx, project_id: str, name: str) -> bool:
    """Delete a secret; return whether there was one."""
    return tx.run("delete_secret", project_id=project_id, name=name) > 0


def _secret(row: Row) -> SealedSecret:
    return SealedSecret(**{key: row[key] for key in SealedSecret.__dataclass_fields__})

"""Versions of skills and agents; a version never changes."""

from __future__ import annotations

import hashlib
import json
import time
from typing import Any

from fabric_jobs.records import SavedDefinition
from fabric_jobs.store.sql import Sql
from fabric_jobs.store.writer import Tx


def save(tx: Tx, *, project_id: str, kind: str, name: str, body: Any, source: str = "") -> int:
    """Keep a definition and return its version: the newest one when nothing has changed, else one more."""
    text = json.dumps(body, separators=(",", ":"), ensure_ascii=False)
    digest = hashlib.sha256(f"{source}\0{text}".encode()).hexdigest()
    newest = tx.one("latest_definition", project_id=project_id, kind=kind, name=name)
    if newest is not None and newest["hash"] == digest:
        return int(newest["version"])
    version = 1 if newest is None else int(newest["version"]) + 1
    tx.run(
        "insert_definition",
        project_id=project_id,
        kind=kind,
        name=name,
        version=version,
        hash=digest,
        body=text,
        source=source,
        saved_at=time.time(),
    )
    return version


def find(sql: Sql, project_id: str, kind: str, name: str, version: int | None = None) -> SavedDefinition | None:
    """Return one version of a definition, the newest when none is named; None when there is none."""
    if version is None:
        row = sql.one("latest_definition", project_id=project_id, kind=kind, name=name)
    else:
        row = sql.one("definition", project_id=project_id, kind=kind, name=name, version=version)
    return None if row is None else SavedDefinition.from_row(row)


def newest(sql: Sql, project_id: str, kind: str) -> list[SavedDefinition]:
    """Return the newest version of every skill or agent, by name."""
    return [SavedDefinition.from_row(row) for row in sql.all("latest_definitions", project_id=project_id, kind=kind)]

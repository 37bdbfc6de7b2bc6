"""Named documents of a project: connections, types, models, sessions, experiments and their runs, actions without a skill.

Each change adds a version. Of a kind with a history, old versions stay, because a running activation may have pinned one, and
a deletion is a version whose document is null. Of other kinds, only the newest version is kept.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any, NamedTuple

from fabric_jobs.store import content
from fabric_jobs.store.sql import Row, Sql
from fabric_jobs.store.writer import Tx

DELETED = "null"  # the document of a version that marks deletion
LATEST = 2**62  # above every version


class DocumentKey(NamedTuple):
    """Names a document."""

    project_id: str
    kind: str
    name: str
    parent: str = ""  # the experiment of a run


@dataclass(frozen=True, kw_only=True, slots=True)
class SavedDocument:
    """One version of a named document of a project, such as a connection or a type."""

    project_id: str
    kind: str  # connection | type | model | session | experiment | run | action
    parent: str  # the experiment of a run; otherwise empty
    name: str
    version: int
    body: Any  # the JSON document
    created_by: str
    created_at: float
    saved_at: float
    expires_at: float | None  # None: never

    @classmethod
    def from_row(cls, row: Row) -> SavedDocument:
        """Build it from a row of `documents`."""
        return cls(**{**dict(zip(row.keys(), row, strict=True)), "body": json.loads(row["body"])})


@dataclass(frozen=True, kw_only=True)
class NewDocument:
    """A document to save."""

    key: DocumentKey
    body: Any
    has_history: bool = True
    created_by: str = ""
    expires_at: float | None = None  # None: never


def key_of(saved: SavedDocument) -> DocumentKey:
    """Return what names a saved document."""
    return DocumentKey(saved.project_id, saved.kind, saved.name, saved.parent)


def find(sql: Sql, key: DocumentKey, version: int | None = None) -> SavedDocument | None:
    """Return one version of a document, by default the newest; None when there is none, it is deleted or its time is over."""
    given = {} if version is None else {"version": version}
    row = sql.one("document" if given else "latest_document", **key._asdict(), **given)
    if row is None or row["body"] == DELETED:
        return None
    saved = SavedDocument.from_row(row)
    return None if saved.expires_at is not None and saved.expires_at <= time.time() else saved


def newest(sql: Sql, project_id: str, kind: str, parent: str = "") -> list[SavedDocument]:
    """Return the newest version of every document of a kind that is neither deleted nor expired, ordered by name."""
    rows = sql.all("latest_documents", project_id=project_id, kind=kind, parent=parent, now=time.time())
    return [SavedDocument.from_row(row) for row in rows]


def versions(sql: Sql, key: DocumentKey) -> list[SavedDocument]:
    """Return all kept versions of a document, newest first."""
    return [SavedDocument.from_row(row) for row in sql.all("versions_of_document", **key._asdict())]


def save(tx: Tx, new: NewDocument) -> int:
    """Save a document and return its version: the newest one when nothing has changed, else a new one."""
    before = tx.one("latest_document", **new.key._asdict())
    body = json.dumps(new.body, separators=(",", ":"), ensure_ascii=False)
    if before is not None and (before["body"], before["expires_at"]) == (body, new.expires_at):
        return int(before["version"])
    now = time.time()
    first = None if before is None or before["body"] == DELETED else before
    version = 1 if before is None else int(before["version"]) + 1
    tx.run(
        "insert_document",
        **new.key._asdict(),
        version=version,
        body=body,
        created_by=new.created_by if first is None else first["created_by"],
        created_at=now if first is None else first["created_at"],
        saved_at=now,
        expires_at=new.expires_at,
    )
    if not new.has_history:
        tx.run("delete_document_before", **new.key._asdict(), version=version)
    return version


def delete(tx: Tx, key: DocumentKey, *, has_history: bool = True) -> bool:
    """Delete a document; return False when there is none. With a history, its versions can still be found by number."""
    if find(tx, key) is None:
        return False
    if has_history:
        save(tx, NewDocument(key=key, body=None))
    else:
        tx.run("delete_document_before", **key._asdict(), version=LATEST)
    return True


def delete_run(tx: Tx, key: DocumentKey) -> bool:
    """Delete a run, and the content that its artifacts are; return False when there is none."""
    run = find(tx, key)
    for artifact in run.body.get("artifacts", {}).values() if run is not None else ():
        content.drop(tx, key.project_id, artifact)
    return delete(tx, key, has_history=False)


def expire(tx: Tx) -> int:
    """Delete the documents whose time is over; return how many rows."""
    return tx.run("delete_expired_documents", now=time.time())

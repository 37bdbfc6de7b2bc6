"""Versions of skills and agents. A version never changes and is never deleted, since an activation may have pinned it.

What is deleted gets one more version, whose document is null. It is in no list and can be saved again.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from fabric_jobs.records import SavedDefinition
from fabric_jobs.store.sql import Sql
from fabric_jobs.store.writer import Tx

DELETED = "null"  # the document of a version that says: deleted


@dataclass(frozen=True, kw_only=True)
class Programs:
    """Where the programs of a skill are."""

    source: str = ""  # directory of the skill's files; empty when not given
    images: Mapping[str, str] = field(default_factory=dict)  # by action: what these files were built into


@dataclass(frozen=True, kw_only=True)
class NewDefinition:
    """A definition that is to be kept."""

    project_id: str
    kind: str
    name: str
    body: Any
    programs: Programs = field(default_factory=Programs)

    @cached_property
    def text(self) -> str:
        """The document as it is stored."""
        return json.dumps(self.body, separators=(",", ":"), ensure_ascii=False)

    @property
    def hash(self) -> str:
        """What tells it from others, with the files of its programs."""
        return hashlib.sha256(f"{self.programs.source}\0{self.text}".encode()).hexdigest()

    @property
    def images(self) -> str:
        """The images of its files as they are stored."""
        return json.dumps(dict(self.programs.images), sort_keys=True)


def kept(sql: Sql, new: NewDefinition) -> int | None:
    """Return the newest version when nothing in it has changed; None when `save` would make one more.

    Without programs those of an unchanged document stay: who saves from elsewhere does not know where they are. Without images
    the last ones of its files stay, too: who runs them as processes builds none.
    """
    newest = sql.one("latest_definition", project_id=new.project_id, kind=new.kind, name=new.name)
    if newest is None:
        return None
    same = newest["hash"] == new.hash or (not new.programs.source and newest["body"] == new.text)
    is_kept = same and (not new.programs.images or newest["images"] == new.images)
    return int(newest["version"]) if is_kept else None


def save(tx: Tx, new: NewDefinition) -> int:
    """Keep a definition and return its version: the newest one when nothing has changed, else one more."""
    before = kept(tx, new)
    if before is not None:
        return before
    newest = tx.one("latest_definition", project_id=new.project_id, kind=new.kind, name=new.name)
    version = 1 if newest is None else int(newest["version"]) + 1
    tx.run(
        "insert_definition",
        project_id=new.project_id,
        kind=new.kind,
        name=new.name,
        version=version,
        hash=new.hash,
        body=new.text,
        source=new.programs.source,
        images=new.images,
        saved_at=time.time(),
    )
    return version


def delete(tx: Tx, *, project_id: str, kind: str, name: str) -> bool:
    """Take a definition out of use; return False when there is none. Running activations keep what they pinned."""
    if find(tx, project_id, kind, name) is None:
        return False
    save(tx, NewDefinition(project_id=project_id, kind=kind, name=name, body=None))
    return True


def find(sql: Sql, project_id: str, kind: str, name: str, version: int | None = None) -> SavedDefinition | None:
    """Return one version of a definition, the newest when none is named; None when there is none, or it is deleted."""
    if version is None:
        row = sql.one("latest_definition", project_id=project_id, kind=kind, name=name)
    else:
        row = sql.one("definition", project_id=project_id, kind=kind, name=name, version=version)
    return None if row is None or row["body"] == DELETED else SavedDefinition.from_row(row)


def newest(sql: Sql, project_id: str, kind: str) -> list[SavedDefinition]:
    """Return the newest version of every skill or agent that is not deleted, by name."""
    return [SavedDefinition.from_row(row) for row in sql.all("latest_definitions", project_id=project_id, kind=kind)]


def versions(sql: Sql, project_id: str, kind: str, name: str) -> list[SavedDefinition]:
    """Return all versions of a definition, the newest first."""
    rows = sql.all("versions_of_definition", project_id=project_id, kind=kind, name=name)
    return [SavedDefinition.from_row(row) for row in rows]

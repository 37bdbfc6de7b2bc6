"""Versions of skills and agents. A version never changes and is never deleted, since an activation may have pinned it.

Deleting adds a version whose document is null. A deleted definition is in no list and can be saved again.
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

DELETED = "null"  # the document of a version that marks deletion
DEPLOYED = "deployed"  # the setting that says where the project files of APIs are


@dataclass(frozen=True, kw_only=True)
class Programs:
    """Where the programs of a skill are."""

    source: str = ""  # directory of the skill's files; empty when not given
    images: Mapping[str, str] = field(default_factory=dict)  # by action: the image built from these files


@dataclass(frozen=True, kw_only=True)
class NewDefinition:
    """A definition to save."""

    project_id: str
    kind: str
    name: str
    body: Any
    programs: Programs = field(default_factory=Programs)
    saved_by: str = "local"  # a username; it makes no other version

    @cached_property
    def text(self) -> str:
        """Return the document as it is stored."""
        return json.dumps(self.body, separators=(",", ":"), ensure_ascii=False)

    @property
    def hash(self) -> str:
        """Return a hash of the document and the directory of its files."""
        return hashlib.sha256(f"{self.programs.source}\0{self.text}".encode()).hexdigest()

    @property
    def images(self) -> str:
        """Return the images of its files as they are stored."""
        return json.dumps(dict(self.programs.images), sort_keys=True)


def kept(sql: Sql, new: NewDefinition) -> int | None:
    """Return the newest version when it is equal to `new`; None when `save` would add a version.

    Without programs, those of an unchanged document stay: a caller on another machine does not know where they are. Without
    images, the last ones of the files stay too: a caller that runs them as processes builds none.
    """
    newest = sql.one("latest_definition", project_id=new.project_id, kind=new.kind, name=new.name)
    if newest is None:
        return None
    same = newest["body"] == new.text and new.programs.source in ("", newest["source"])
    is_kept = same and (not new.programs.images or newest["images"] == new.images)
    return int(newest["version"]) if is_kept else None


def save(tx: Tx, new: NewDefinition) -> int:
    """Save a definition and return its version: the newest one when nothing has changed, else a new one."""
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
        saved_by=new.saved_by,
    )
    return version


def delete(tx: Tx, *, project_id: str, kind: str, name: str) -> bool:
    """Take a definition out of use; return False when there is none. Running activations keep what they pinned."""
    if find(tx, project_id, kind, name) is None:
        return False
    save(tx, NewDefinition(project_id=project_id, kind=kind, name=name, body=None))
    return True


def move_sources(tx: Tx, directory: str) -> None:
    """Note where the project files of deployed APIs are, and correct the versions if they were elsewhere before.

    A state directory may have been moved, or be a copy.
    """
    row = tx.one("setting", key=DEPLOYED)
    if row is not None and row["value"] == directory:
        return
    if row is not None:
        tx.run("move_sources", old=row["value"], new=directory)
    tx.run("put_setting", key=DEPLOYED, value=directory)


def needs_files(sql: Sql, source: str) -> bool:
    """Return whether a version that can still run has its files in a directory: the newest one, or one that is pinned."""
    versions = sql.all("versions_with_source", source=source)
    return any(
        row["is_newest"] or sql.one("pinned_version", **{key: row[key] for key in ("project_id", "name", "version")})
        for row in versions
    )


def sources_below(sql: Sql, directory: str) -> list[tuple[str, str, str]]:
    """Return project, name and source of the newest versions whose files are below a directory."""
    return [(row["project_id"], row["name"], row["source"]) for row in sql.all("sources_below", directory=directory)]


def find(sql: Sql, project_id: str, kind: str, name: str, version: int | None = None) -> SavedDefinition | None:
    """Return one version of a definition, by default the newest; None when there is none or it is deleted."""
    if version is None:
        row = sql.one("latest_definition", project_id=project_id, kind=kind, name=name)
    else:
        row = sql.one("definition", project_id=project_id, kind=kind, name=name, version=version)
    return None if row is None or row["body"] == DELETED else SavedDefinition.from_row(row)


def newest(sql: Sql, project_id: str, kind: str) -> list[SavedDefinition]:
    """Return the newest version of every skill or agent that is not deleted, ordered by name."""
    return [SavedDefinition.from_row(row) for row in sql.all("latest_definitions", project_id=project_id, kind=kind)]


def versions(sql: Sql, project_id: str, kind: str, name: str) -> list[SavedDefinition]:
    """Return all versions of a definition, newest first."""
    rows = sql.all("versions_of_definition", project_id=project_id, kind=kind, name=name)
    return [SavedDefinition.from_row(row) for row in rows]

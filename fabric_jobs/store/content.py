"""Content: bytes by project and key."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from fabric_jobs.blobs import Blob
from fabric_jobs.errors import NotFound
from fabric_jobs.store import projects
from fabric_jobs.store.sql import Row, Sql
from fabric_jobs.store.writer import Tx


@dataclass(frozen=True, kw_only=True, slots=True)
class Content:
    """What a key stands for."""

    key: str
    sha256: str  # of its bytes, in hexadecimal
    size: int  # bytes
    content_type: str  # as it was sent
    updated_at: float


def find(sql: Sql, project_id: str, key: str) -> tuple[Content, Blob] | None:
    """Return the content of a key and its bytes, or None."""
    row = sql.one("content", project_id=project_id, key=key)
    return None if row is None else (_content(row), Blob(row["sha256"], row["size"], row["crcs"]))


def listed(sql: Sql, project_id: str, prefix: str, *, after: str = "", limit: int, skip: int = 0) -> list[Content]:
    """Return the content whose keys begin with `prefix` and follow `after`, by key."""
    rows = sql.all("contents", project_id=project_id, prefix=prefix, after=after, limit=limit, skip=skip)
    return [_content(row) for row in rows]


def put(tx: Tx, project_id: str, key: str, blob: Blob, content_type: str) -> Content:
    """Store content under its key; it replaces what was there. Raises NotFound when the project was deleted meanwhile."""
    if projects.find(tx, project_id) is None:
        raise NotFound(f"project '{project_id}' was deleted, so nothing was stored.")
    content = Content(key=key, sha256=blob.sha256, size=blob.size, content_type=content_type, updated_at=time.time())
    tx.run(
        "put_content",
        project_id=project_id,
        crcs=blob.crcs,
        **{name: getattr(content, name) for name in Content.__dataclass_fields__},
    )
    return content


def drop(tx: Tx, project_id: str, key: str) -> bool:
    """Forget a key; False when there is none. Its bytes stay until nothing refers to them and they are swept."""
    return bool(tx.run("drop_content", project_id=project_id, key=key))


def is_used(sql: Sql, sha256: str) -> bool:
    """Tell whether a key refers to these bytes."""
    return sql.one("content_of_bytes", sha256=sha256) is not None


def totals(sql: Sql) -> tuple[int, int]:
    """Return the number of keys, and their bytes; bytes that keys share count once."""
    row = sql.one("content_totals")
    assert row is not None
    return row["count"], row["bytes"]


def every(sql: Sql) -> Iterator[Row]:
    """Yield `project_id`, `key`, `sha256` and `size` of all content; equal bytes follow each other."""
    return sql.each("contents_of_all")


def _content(row: Row) -> Content:
    return Content(**{name: row[name] for name in Content.__dataclass_fields__})

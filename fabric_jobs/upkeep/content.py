"""Looks after content: finds what is damaged, and removes bytes that no key refers to."""

from __future__ import annotations

from pathlib import Path

from fabric_jobs.blobs import Blobs, Swept
from fabric_jobs.errors import PlaceUnavailable
from fabric_jobs.store import Store, content
from fabric_jobs.store.audit import Audit, Stop, snapshot


def check(store: Store, blobs: Blobs, found: Audit, stop: Stop) -> None:
    """Count the keys, and compare the bytes of each with their SHA-256; of a bucket, compare the sizes only."""
    sizes = {} if blobs.shelf.is_local else dict(blobs.shelf.sizes())
    last, problem = "", ""
    with snapshot(store.path, stop) as sql:
        for row in content.every(sql):
            if stop():
                raise PlaceUnavailable("the owner is ending.", hint="Type the command again.")
            found.content += 1
            sha256, size = row["sha256"], row["size"]
            if sha256 != last:
                last = sha256
                problem = blobs.problem(sha256, size) if blobs.shelf.is_local else _compared(sizes.get(sha256), size)
            # It may have been deleted, and swept, since the snapshot.
            if problem and content.is_used(store.read, sha256):
                found.wrong(f"content '{row['key']}' of project {row['project_id']}: {problem.rstrip('.')}")


def sweep(store: Store, blobs: Blobs, stop: Stop) -> Swept:
    """Remove bytes that no key refers to."""
    return blobs.sweep(lambda sha256: content.is_used(store.read, sha256), stop)


def unused(store: Store, blobs: Blobs) -> Swept:
    """Return how much `sweep` would remove."""
    return blobs.unused(lambda sha256: content.is_used(store.read, sha256))


def files(database: Path, blobs: Blobs) -> list[tuple[Path, int]]:
    """Return path and size of each file that the keys of a database refer to; none of a bucket."""
    with snapshot(database, lambda: False) as sql:
        sizes = {row["sha256"]: row["size"] for row in content.every(sql)} if blobs.shelf.is_local else {}
    return [(blobs.shelf.path_of(sha256), size) for sha256, size in sizes.items()]


def _compared(size: int | None, wanted: int) -> str:
    if size is None:
        return "its object is missing"
    return "" if size == wanted else f"its object has {size} bytes, but {wanted} were stored"

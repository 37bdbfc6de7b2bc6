"""Measures a state directory, and the share of each activation."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from fabric_jobs.state_dir import content_dir, deployed_dir, records_dir
from fabric_jobs.store import content, retention
from fabric_jobs.store.audit import Stop, snapshot
from fabric_jobs.store.retention import Counts

ROW_BYTES = 2048  # of an activation in tables and indexes, besides its records; about


@dataclass(frozen=True, kw_only=True)
class Share:
    """The share of one activation."""

    activation_id: str
    name: str
    state: str
    database: int  # bytes of the database, about
    records: int  # bytes of files of records
    attempts: int  # bytes of its attempts' directories

    @property
    def size(self) -> int:
        """Its bytes in all."""
        return self.database + self.records + self.attempts


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """The size of a state directory, in bytes."""

    database: int
    free: int  # in the database: reused before it grows
    wal: int
    records: int  # files of larger records
    attempts: int
    content: int  # files of content
    content_keys: int
    content_used: int  # bytes that keys refer to, here or in a bucket
    deployed: int  # project files of APIs
    leftovers: int  # among the attempts: directories of unknown tasks
    counts: Counts
    shares: tuple[Share, ...]  # largest first

    @property
    def used(self) -> int:
        """The bytes that deleting can free."""
        return self.database - self.free + self.records + self.attempts


def measure(database: Path, attempts: Path, stop: Stop) -> Sizes:
    """Measure every segment and every attempt's directory."""
    with snapshot(database, stop) as sql:
        total, free = retention.page_bytes(sql)
        weights = retention.record_bytes(sql)
        in_files = retention.file_bytes(sql)
        names = retention.names(sql)
        places = retention.places(sql)
        counts = retention.counts(sql)
        keys, in_use = content.totals(sql)
    directories = directory_sizes(attempts, stop)
    of_attempts: dict[str, int] = {}
    unknown = dict(directories)
    for place in places:
        name = Path(place.handle or place.attempt_name).name
        size = unknown.pop(name, 0)
        of_attempts[place.activation_id] = of_attempts.get(place.activation_id, 0) + size
    whole = sum(weights.values()) + ROW_BYTES * len(names) or 1
    scale = min(1.0, (total - free) / whole)
    shares = [
        Share(
            activation_id=activation_id,
            name=name,
            state=state,
            database=round((weights.get(activation_id, 0) + ROW_BYTES) * scale),
            records=in_files.get(activation_id, 0),
            attempts=of_attempts.get(activation_id, 0),
        )
        for activation_id, (name, state) in names.items()
    ]
    return Sizes(
        database=total,
        free=free,
        wal=_size(database.with_name(f"{database.name}-wal")),
        records=sum(directory_sizes(records_dir(database.parent), stop).values()),
        attempts=sum(directories.values()),
        content=sum(directory_sizes(content_dir(database.parent), stop).values()),
        content_keys=keys,
        content_used=in_use,
        deployed=sum(directory_sizes(deployed_dir(database.parent), stop).values()),
        leftovers=sum(unknown.values()),
        counts=counts,
        shares=tuple(sorted(shares, key=lambda share: -share.size)),
    )


def directory_sizes(root: Path, stop: Stop = lambda: False) -> dict[str, int]:
    """Return the bytes below each directory in `root`; files deleted meanwhile may count."""
    found: dict[str, int] = {}
    for directory in _directories(root):
        if stop():
            break
        found[directory.name] = sum(
            _size(Path(place) / name) for place, _, names in os.walk(directory) for name in names
        )
    return found


def _directories(root: Path) -> list[Path]:
    try:
        with os.scandir(root) as entries:
            return [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0

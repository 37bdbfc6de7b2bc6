"""Checks files of records: those that the database refers to exist, and are long enough."""

from __future__ import annotations

from collections.abc import Iterator

from fabric_jobs import sizes
from fabric_jobs import state_dir as places
from fabric_jobs.counts import counted
from fabric_jobs.doctor.finding import OK, PROBLEM, Finding, Scope
from fabric_jobs.store.audit import files_of


def present(scope: Scope) -> Iterator[Finding]:
    """Check that every file that rows refer to exists; show how many bytes are in files."""
    root, database = places.records_dir(scope.state), places.database_file(scope.state)
    wanted = files_of(database) if database.exists() else []
    short = [name for name, size in wanted if not (root / name).is_file() or (root / name).stat().st_size < size]
    if short:
        yield Finding(
            PROBLEM,
            f"{counted(len(short), 'file', 'is', 'are')} missing or cut, such as {root / short[0]}.",
            "Put them back from a copy of the directory; `fabric-jobs state check` names the records that are lost.",
        )
        return
    found = [path for path in root.rglob("*") if path.is_file()] if root.is_dir() else []
    yield Finding(OK, f"{sizes.spelled(sum(path.stat().st_size for path in found))} in {counted(len(found), 'file')}")

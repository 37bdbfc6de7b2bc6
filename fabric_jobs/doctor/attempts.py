"""Directories of attempts that no task knows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from fabric_jobs import state_dir as places
from fabric_jobs.doctor.finding import NOTE, OK, WARNING, Finding, Scope, repaired
from fabric_jobs.executors.local import LocalExecutor
from fabric_jobs.store.audit import attempt_names


def leftovers(scope: Scope) -> Iterator[Finding]:
    """Check that every directory belongs to a task."""
    root, database = places.attempts_dir(scope.state), places.database_file(scope.state)
    # List the directories before the rows: a row is written before its directory.
    found = sorted(path.name for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    if not database.exists():
        if found:
            yield Finding(
                WARNING,
                f"There are {len(found):,} attempts in {root}, but no database that lists them.",
                "If you do not need them, delete the directory.",
            )
        return
    known = attempt_names(database)
    unknown = [name for name in found if name not in known]
    if not unknown:
        yield Finding(OK, f"{len(found):,}, all belong to known tasks")
        return
    yield repaired(
        scope,
        Finding(
            WARNING,
            f"{len(unknown):,} of {len(found):,} belong to no task, such as {unknown[0]}.",
            f"Delete them in {root}",
        ),
        lambda: _remove(root, unknown),
        "They have been removed.",
    )
    running = [name for name in unknown if (root / name).exists()] if scope.fix else []
    if running:
        yield Finding(NOTE, f"{len(running):,} of these are still running and stay: {running[0]}.")


def _remove(root: Path, names: list[str]) -> None:
    executor = LocalExecutor(root)
    for name in names:
        executor.remove(name)
    executor.close()

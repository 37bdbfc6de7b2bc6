"""Checks the database: it opens, has this version and is intact."""

from __future__ import annotations

from collections.abc import Iterator

from fabric_jobs import sizes
from fabric_jobs import state_dir as places
from fabric_jobs.doctor.finding import NOTE, OK, PROBLEM, Finding, Scope
from fabric_jobs.errors import PlaceUnavailable
from fabric_jobs.store.audit import quick_check
from fabric_jobs.store.connection import schema_steps

QUICK_BYTES = 1 << 30  # a larger database takes too long to read here


DAMAGED = "Keep a copy of the directory as it is, and continue with a backup, or start again with another --state-dir."


def pages(scope: Scope) -> Iterator[Finding]:
    """Look at the database's pages and its version."""
    path = places.database_file(scope.state)
    if not path.exists():
        yield Finding(NOTE, "There is none yet.")
        return
    size = path.stat().st_size
    try:
        version, problems = quick_check(path, whole=size <= QUICK_BYTES)
    except PlaceUnavailable as error:
        yield Finding(PROBLEM, f"{error.message}.", DAMAGED)
        return
    known = len(schema_steps())
    if problems:
        more = f" (and {len(problems) - 1} more)" if problems[1:] else ""
        message = f"{path} is damaged: {problems[0]}{more}."
        yield Finding(PROBLEM, message, DAMAGED)
    elif version > known:
        yield Finding(
            PROBLEM,
            f"It was written by a newer fabric-jobs (schema {version}; this version supports {known}).",
            "Upgrade fabric-jobs, or use another --state-dir.",
        )
    elif version == 0:
        yield Finding(NOTE, f"{path} contains nothing of fabric-jobs yet.")
    else:
        whole = "whole" if size <= QUICK_BYTES else "too large to check in full here; run `fabric-jobs state check`"
        older = "" if version == known else f", which the next run upgrades to {known}"
        yield Finding(OK, f"{sizes.spelled(size)}, schema {version}{older}, {whole}")

"""Checks the key of the secrets: without it, no owner starts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from fabric_jobs import state_dir as places
from fabric_jobs.counts import counted
from fabric_jobs.doctor.finding import OK, PROBLEM, Finding, Scope
from fabric_jobs.sealing import Keys
from fabric_jobs.store.audit import secret_key_ids


def fits(scope: Scope) -> Iterator[Finding]:
    """Check that only this user can use the key file, and that it has the key of every secret."""
    keys = Keys(Path(os.environ.get("FABRIC_JOBS_SECRETS_KEY_FILE") or places.secrets_key(scope.state)))
    database = places.database_file(scope.state)
    found = secret_key_ids(database) if database.exists() else []
    missing = sum(key_id not in keys for key_id in found)
    if missing:
        yield Finding(
            PROBLEM,
            f"{keys.path} has not the key of {counted(missing, 'secret')}, so nothing starts.",
            "Put the right file there, or name it with FABRIC_JOBS_SECRETS_KEY_FILE.",
        )
    else:
        yield Finding(OK, counted(len(found), "secret"))

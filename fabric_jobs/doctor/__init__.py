"""`fabric-jobs doctor`: checks everything that must be right, without starting an owner, and says what to do."""

from __future__ import annotations

from collections.abc import Iterator

from fabric_jobs.doctor import (
    attempts,
    cluster,
    database,
    directory,
    installation,
    outside,
    owner,
    record_files,
    remote,
    secrets_key,
)
from fabric_jobs.doctor.finding import PROBLEM, Check, Finding, Scope
from fabric_jobs.errors import FabricJobsError

__all__ = ["Finding", "Scope", "examine"]

STATE, DATABASE = "state directory", "database"

# The name of each check, and the checks that must pass first; in the order of the output.
CHECKS: tuple[tuple[str, Check, tuple[str, ...]], ...] = (
    ("python", installation.python, ()),
    ("environment", installation.environment, ()),
    ("fabric-jobs", installation.package, ()),
    ("workspace", directory.workspace, ()),
    (STATE, directory.state_directory, ()),
    ("file system", directory.file_system, (STATE,)),
    ("socket", directory.socket_file, (STATE,)),
    ("disk", directory.disk, (STATE,)),
    (DATABASE, database.pages, (STATE,)),
    ("owner", owner.lock, (STATE,)),
    ("gateway", owner.gateway, (STATE,)),
    ("room", owner.room, (STATE,)),
    ("errors", owner.errors, (STATE,)),
    ("port", owner.port, (STATE, DATABASE)),
    ("attempts", attempts.leftovers, (STATE, DATABASE)),
    ("records", record_files.present, (STATE, DATABASE)),
    ("secrets", secrets_key.fits, (STATE, DATABASE)),
    ("remote gateway", remote.gateway, ()),
    ("git", outside.git, ()),
    ("docker", outside.docker, ()),
    ("kubernetes", cluster.kubernetes, ()),
)


def examine(scope: Scope) -> Iterator[tuple[str, Finding]]:
    """Yield the findings of every check, with its name; skip a check if one that it needs found a problem."""
    sick: set[str] = set()
    for name, check, needs in CHECKS:
        if sick.intersection(needs):
            continue
        for finding in _carefully(check, scope):
            if finding.level == PROBLEM:
                sick.add(name)
            yield name, finding
        if name == STATE and scope.state_dir is None:
            sick.add(STATE)


def _carefully(check: Check, scope: Scope) -> Iterator[Finding]:
    """Yield the findings of a check; an exception becomes a finding too."""
    try:
        yield from check(scope)
    except FabricJobsError as error:
        yield Finding(PROBLEM, error.message, error.hint)
    except (OSError, ValueError, TypeError) as error:  # TypeError: a garbled owner.json
        yield Finding(PROBLEM, f"It cannot be checked: {error}.")

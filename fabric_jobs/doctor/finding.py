"""What a check finds, and where it looks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fabric_jobs.client.remote import Remote

OK = "ok"
NOTE = "note"  # nothing is wrong, but it is good to know
FIXED = "fixed"  # was wrong until now
WARNING = "warning"  # it works, but not as it should
PROBLEM = "problem"  # it does not work


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line of the doctor."""

    check: str
    level: str
    message: str
    hint: str = ""  # what to do


@dataclass(frozen=True, kw_only=True)
class Scope:
    """What is looked at."""

    workspace: Path | None  # None: there is none here
    state_dir: Path | None  # None: no workspace, and none was named
    missing: str = ""  # why there is no workspace
    remote: Remote | None = None  # the gateway that the options name
    fix: bool = False  # do what can be done


Check = Callable[[Scope], Iterator[Finding]]


def repaired(scope: Scope, found: Finding, act: Callable[[], None], did: str) -> Finding:
    """Return a finding, or, when things are to be fixed, what became of it; `did` says it in words."""
    if not scope.fix:
        return Finding(
            check=found.check,
            level=found.level,
            message=found.message,
            hint=f"{found.hint}, or: fabric-jobs doctor --fix",
        )
    try:
        act()
    except OSError as error:
        return Finding(
            check=found.check,
            level=found.level,
            message=f"{found.message} It could not be fixed: {error.strerror or error}.",
            hint=found.hint,
        )
    return Finding(check=found.check, level=FIXED, message=f"{found.message} {did}")

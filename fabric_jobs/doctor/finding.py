"""What a check finds, and where it looks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from fabric_jobs.client.remote import Remote

OK = "ok"
NOTE = "note"  # nothing is wrong, but it is good to know
FIXED = "fixed"  # was wrong until now
WARNING = "warning"  # it works, but not as it should
PROBLEM = "problem"  # it does not work


@dataclass(frozen=True)
class Finding:
    """One line of the doctor; which check it is from, `examine` says."""

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

    @property
    def state(self) -> Path:
        """The state directory, for checks that are made only where there is one."""
        assert self.state_dir is not None
        return self.state_dir


Check = Callable[[Scope], Iterator[Finding]]


def repaired(scope: Scope, found: Finding, act: Callable[[], None], did: str) -> Finding:
    """Return a finding, or, when things are to be fixed, what became of it; `did` says it in words."""
    if not scope.fix:
        return replace(found, hint=f"{found.hint}, or: fabric-jobs doctor --fix")
    try:
        act()
    except OSError as error:
        return replace(found, message=f"{found.message} It could not be fixed: {error.strerror or error}.")
    return Finding(FIXED, f"{found.message} {did}")

"""The findings of a check, and where it looks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from fabric_jobs.client.remote import Remote

OK = "ok"
NOTE = "note"  # nothing is wrong, but worth knowing
FIXED = "fixed"  # was wrong, and has just been fixed
WARNING = "warning"  # it works, but not as it should
PROBLEM = "problem"  # it does not work


@dataclass(frozen=True)
class Finding:
    """One line of the doctor; `examine` adds the name of its check."""

    level: str
    message: str
    hint: str = ""  # what to do


@dataclass(frozen=True, kw_only=True)
class Scope:
    """What the checks look at."""

    workspace: Path | None  # None: there is none here
    state_dir: Path | None  # None: there is no workspace, and no directory was named
    missing: str = ""  # why there is no workspace
    remote: Remote | None = None  # the gateway that the options name
    fix: bool = False  # fix what can be fixed
    pod_image: str = ""  # of a pod that tries the way from a cluster to this machine; empty: none is started

    @property
    def state(self) -> Path:
        """The state directory, for checks that run only if there is one."""
        assert self.state_dir is not None
        return self.state_dir


Check = Callable[[Scope], Iterator[Finding]]


def repaired(scope: Scope, found: Finding, act: Callable[[], None], did: str) -> Finding:
    """Return a finding or, with --fix, the result of the repair `act`, which `did` describes."""
    if not scope.fix:
        return replace(found, hint=f"{found.hint}, or: fabric-jobs doctor --fix")
    try:
        act()
    except OSError as error:
        return replace(found, message=f"{found.message} It could not be fixed: {error.strerror or error}.")
    return Finding(FIXED, f"{found.message} {did}")

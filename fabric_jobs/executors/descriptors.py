"""Limits of open files: of this process, of attempts, and of programs."""

from __future__ import annotations

import resource
from contextlib import suppress

from fabric_jobs.errors import ExecutorUnavailable

RESERVED = 128  # for the store, the gateway and its callers
ENOUGH = 1 << 20  # where there is no hard limit

_of_user: list[int] = []  # the limit that this process was started with, once it has a higher one


def raise_limit() -> None:
    """Let this process have as many as it may; the programs that it starts are to have the user's limit, see `of_programs`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ENOUGH if hard == resource.RLIM_INFINITY else hard
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    with suppress(OSError, ValueError):  # the kernel has a limit of its own
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        _of_user[:] = [soft]


def of_programs() -> int | None:
    """Return the limit that programs are to have; None when it is that of this process."""
    return _of_user[0] if _of_user else None


def admit(attempts: int, each: int) -> None:
    """Raise ExecutorUnavailable when one more attempt would not leave enough; `each` is how many files one needs at most."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit == resource.RLIM_INFINITY or not attempts:
        return
    if (attempts + 1) * each > limit - min(RESERVED, limit // 2):
        raise ExecutorUnavailable(
            f"{attempts} attempts use all {limit} files that a process may open (`ulimit -n`); this one starts when others end."
        )

"""Manages the limits of open files of this process, of attempts, and of programs."""

from __future__ import annotations

import resource
from contextlib import suppress

from fabric_jobs.errors import ExecutorUnavailable

RESERVED = 128  # for the store, the gateway and its callers
ENOUGH = 1 << 20  # where there is no hard limit

_of_user: list[int] = []  # the limit that this process started with, once raised


def raise_limit() -> None:
    """Raise the limit of this process to its maximum. Programs that it starts get the user's limit, see `of_programs`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ENOUGH if hard == resource.RLIM_INFINITY else hard
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    with suppress(OSError, ValueError):  # the kernel's own limit may be lower
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        _of_user[:] = [soft]


def of_programs() -> int | None:
    """Return the limit for programs; None if they inherit that of this process."""
    return _of_user[0] if _of_user else None


def admit(attempts: int, each: int) -> None:
    """Raise ExecutorUnavailable if another attempt would leave too few; an attempt needs at most `each` files."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit == resource.RLIM_INFINITY or not attempts:
        return
    if (attempts + 1) * each > limit - min(RESERVED, limit // 2):
        raise ExecutorUnavailable(
            f"{attempts} attempts use all {limit} files that a process may open (`ulimit -n`); this one starts when others end."
        )

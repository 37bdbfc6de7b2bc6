"""Looks after processes and files that attempts leave in a pod that runs several, one after the other."""

from __future__ import annotations

import os
import signal
from contextlib import suppress

ADOPT = 36  # PR_SET_CHILD_SUBREAPER
LOST = 137  # the exit code of a program whose own is unknown


def adopt_orphans() -> None:
    """Become the parent of children whose parent dies, as process 1 is of all."""
    if os.getpid() != 1:
        with suppress(ImportError, OSError, AttributeError):
            import ctypes  # late: a pod's first process needs it not

            ctypes.CDLL(None).prctl(ADOPT, 1, 0, 0, 0)


def code_of(pid: int) -> int | None:
    """Return the exit code of a process that is adopted, 128 and more for a signal; None while it runs."""
    try:
        found, status = os.waitpid(pid, os.WNOHANG)
    except (
        ChildProcessError
    ):  # not adopted yet: a parent that dies closes its files first, and its end is a signal to come
        return None if exists(pid) else LOST
    if not found:
        return None
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def exists(pid: int) -> bool:
    """Return whether there is a process, running or ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def end_rest(child: int, template: int) -> None:
    """Kill what a program has left. Process 1 ends everything but the template process and itself."""
    with suppress(ProcessLookupError, PermissionError):
        os.kill(-child, signal.SIGKILL)
    if os.getpid() != 1:
        return
    for name in os.listdir("/proc"):
        if name.isdecimal() and int(name) not in (1, template):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(int(name), signal.SIGKILL)


def collect(spared: set[int]) -> None:
    """Reap orphans that have ended, except some whose ends are asked for by number."""
    while True:
        try:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if found is None or found.si_pid in spared:
            return
        os.waitpid(found.si_pid, 0)


def clear(directory: str, *, keep: bool = False) -> None:
    """Delete a directory, or only what is in it; what cannot be deleted stays."""
    import shutil  # late: after the first attempt

    if not keep:
        shutil.rmtree(directory, ignore_errors=True)
        return
    with suppress(OSError), os.scandir(directory) as found:
        for entry in list(found):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            else:
                with suppress(OSError):
                    os.unlink(entry.path)

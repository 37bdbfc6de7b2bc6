"""The processes of a local attempt: its process group, and whatever else carries its mark in the environment."""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from fabric_jobs.executors.base import ProcessSpec
from fabric_jobs.state_dir import ATTEMPT_VARIABLE, programs_umask

OWN = ATTEMPT_VARIABLE
PROC = Path("/proc")
LOOK_SECONDS = 0.01  # between two looks whether the wrapper lives
SCAN_SECONDS = 0.05  # between two looks at all processes of the machine
KILL_SECONDS = 10.0  # what is killed is gone by then
NAME_LENGTH = 60  # of a command line that is shown
EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})


def umask(process: ProcessSpec) -> str:
    """Return the umask of programs, as a shell takes it: that of their command, else the user's, which is not this process's."""
    return f"{programs_umask() if process.shell is None else process.shell.umask:04o}"


def end(directory: Path, is_running: Callable[[], bool], grace: float) -> bool:
    """Ask the processes of an attempt to end, wait up to `grace` seconds, then kill them; return whether none is left.

    `is_running()` tells whether the wrapper lives, which leads the group.
    """
    # Its number cannot be another group's while one of its members lives; elsewhere there is no way to tell.
    own_group = is_running() or not (PROC.is_dir() or (directory / "exit").exists())
    found = _members(directory, own_group)
    if not found and not own_group:
        return True
    _signal(directory, found, signal.SIGTERM, own_group)  # once: what a program starts to tidy up is left in peace
    until = time.monotonic() + grace
    while is_running() or _members(directory, own_group):
        if time.monotonic() >= until:
            return _kill(directory, is_running, own_group)
        time.sleep(LOOK_SECONDS if is_running() else SCAN_SECONDS)
    return True


def members(directory: Path) -> list[int]:
    """Return the processes of an attempt whose wrapper is gone."""
    return _members(directory, own_group=False)


def left_behind(directory: Path) -> list[str]:
    """Return what an attempt that has just ended has left running, in words. It costs little: every job that ends is looked at."""
    wrapper = _wrapper(directory)
    try:
        newest = int((PROC / "loadavg").read_text().split()[-1])
    except (OSError, ValueError):
        return []
    first = wrapper if newest >= wrapper else 0  # a child's number is above its parent's, until numbers begin anew
    mark = _mark(directory)
    return [f"{_name(pid)} (process {pid})" for pid in _processes() if pid > first and mark in _environment(pid)]


def _kill(directory: Path, is_running: Callable[[], bool], own_group: bool) -> bool:
    until = time.monotonic() + KILL_SECONDS
    while True:
        found = _members(directory, own_group)
        if not found and not is_running():
            return True
        _signal(directory, found, signal.SIGKILL, own_group)
        if time.monotonic() >= until:
            return False
        time.sleep(LOOK_SECONDS)


def _signal(directory: Path, found: Iterable[int], number: signal.Signals, own_group: bool) -> None:
    """Signal the group at once, if it is known to be this attempt's, and the others one by one."""
    group = _wrapper(directory) if own_group else 0
    with suppress(ProcessLookupError, PermissionError):
        if group:
            os.killpg(group, number)
    for pid in found:
        with suppress(ProcessLookupError, PermissionError):
            if not group or os.getpgid(pid) != group:
                os.kill(pid, number)


def _members(directory: Path, own_group: bool) -> list[int]:
    """Return the processes of an attempt; its group counts when it is known to be its own, or one in it carries the mark."""
    wrapper, mark = _wrapper(directory), _mark(directory)
    if not PROC.is_dir():
        return [wrapper] if own_group and wrapper and _has_members(wrapper) else []
    group = {pid for pid in _processes() if wrapper and _group(pid) == wrapper and _is_alive(pid)}
    marked = {pid for pid in _processes() if mark in _environment(pid)}
    return sorted(marked | group if own_group or marked & group else marked)


def _wrapper(directory: Path) -> int:
    try:
        return int((directory / "pid").read_text())
    except (FileNotFoundError, ValueError):
        return 0


def _mark(directory: Path) -> bytes:
    return f"\0{OWN}={directory}\0".encode()


def _processes() -> list[int]:
    with os.scandir(PROC) as entries:
        return [int(entry.name) for entry in entries if entry.name.isdecimal()]


def _has_members(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _group(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return 0


def _is_alive(pid: int) -> bool:
    """Tell whether a process can still do something; a dead one that nobody has waited for cannot."""
    state = _read(pid, "stat").rpartition(b")")[2].split()[:1]
    return state not in ([], [b"Z"], [b"X"])


def _environment(pid: int) -> bytes:
    return b"\0" + _read(pid, "environ")


def _name(pid: int) -> str:
    """Return program and first word, such as `python3 child.py`; further words may be long, or secret."""
    words = _read(pid, "cmdline").decode(errors="replace").split("\0")[:2]
    names = (word.rsplit("/", 1)[-1] for word in words if not word.startswith("{"))  # a message has a token
    return " ".join(" ".join(names).split())[:NAME_LENGTH] or "?"


def _read(pid: int, name: str) -> bytes:
    """Return what the kernel says of a process; empty when it has just ended, or is somebody else's."""
    try:
        return (PROC / str(pid) / name).read_bytes()
    except OSError as error:
        if error.errno in EXHAUSTED:  # we cannot look, which is not the same
            raise
        return b""

"""Reads from the kernel about processes of this machine: their user, group and start time."""

from __future__ import annotations

import errno
import os

MARK = "FABRIC_JOBS_ATTEMPT_DIRECTORY"  # in the environment of whatever an attempt has started
PROC = "/proc"
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
DEAD = (b"Z", b"X")  # not reaped yet, but it has ended
NAME_LENGTH = 60  # of a command line that is shown


class Scan:
    """The living processes of this machine: the number of each by its group, and number and group by its mark."""

    def __init__(self, above: int = 0) -> None:
        """Look at all processes, or at those whose number is above another one; OSError when that is not possible now."""
        self.groups: dict[int, list[int]] = {}
        self.marked: dict[str, list[tuple[int, int]]] = {}
        for pid in _numbers():
            if pid > above:
                self._look(pid)

    def _look(self, pid: int) -> None:
        fields = _fields(pid)
        if len(fields) < 20 or fields[0] in DEAD:
            return
        group = int(fields[2])
        self.groups.setdefault(group, []).append(pid)
        found = _mark(pid)
        if found:
            self.marked.setdefault(found, []).append((pid, group))

    def members(self, directory: str, group: int) -> list[int]:
        """Return the processes of an attempt: those with its mark, and those in its group; 0: in none."""
        grouped = self.groups.get(group, ()) if group else ()  # the kernel's own are in group 0
        return sorted({pid for pid, _ in self.marked.get(directory, ())} | set(grouped))


def has_proc() -> bool:
    """Tell whether this system has what is read here."""
    return os.path.isdir(f"{PROC}/self")


def started(pid: int) -> int:
    """Return when a process began, in ticks since the machine did; 0 when there is none."""
    fields = _fields(pid)
    return int(fields[19]) if len(fields) > 19 else 0


def newest() -> int:
    """Return the number of the process that was made last; 0 when unknown."""
    try:
        return int(_read(f"{PROC}/loadavg").split()[-1])
    except (IndexError, ValueError):
        return 0


def name(pid: int) -> str:
    """Return program and first word, such as `python3 child.py`; further words may be long, or secret."""
    words = _read(f"{PROC}/{pid}/cmdline").decode(errors="replace").split("\0")[:2]
    names = (word.rsplit("/", 1)[-1] for word in words if not word.startswith("{"))  # a message has a token
    return " ".join(" ".join(names).split())[:NAME_LENGTH] or "?"


def _numbers() -> list[int]:
    try:
        return [int(entry) for entry in os.listdir(PROC) if entry.isdecimal()]
    except FileNotFoundError:
        return []


def _fields(pid: int) -> list[bytes]:
    """Return the fields of `stat` after the name: state, parent, group, …"""
    return _read(f"{PROC}/{pid}/stat").rpartition(b")")[2].split()


def _mark(pid: int) -> str:
    """Return the directory of the attempt that a process belongs to; empty when it is of none."""
    _, found, rest = (b"\0" + _read(f"{PROC}/{pid}/environ")).partition(f"\0{MARK}=".encode())
    return os.fsdecode(rest.partition(b"\0")[0]) if found else ""


def _read(path: str) -> bytes:
    """Return what the kernel says; empty when the process has just ended, or is somebody else's."""
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read()
    except OSError as error:
        if error.errno in EXHAUSTED:  # we cannot look, which is not the same
            raise
        return b""

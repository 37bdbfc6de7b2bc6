"""Reads about processes of this machine from the kernel: groups, start times, names and marks."""

from __future__ import annotations

import errno
import os

MARK = "FABRIC_JOBS_ATTEMPT_DIRECTORY"  # in the environment of every process of an attempt
PROC = "/proc"
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
DEAD = (b"Z", b"X")  # ended, but not reaped yet
NAME_LENGTH = 60  # of a command line that is shown


class Scan:
    """The living processes of this machine: pids by group, and pids with their groups by mark."""

    def __init__(self, above: int = 0) -> None:
        """Scan all processes, or those with a pid above `above`. Raise OSError if that is impossible now."""
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
        """Return the processes of an attempt: those with its mark, and those in its group (0: no group)."""
        grouped = self.groups.get(group, ()) if group else ()  # kernel threads are in group 0
        return sorted({pid for pid, _ in self.marked.get(directory, ())} | set(grouped))


def has_proc() -> bool:
    """Tell whether this system has /proc."""
    return os.path.isdir(f"{PROC}/self")


def started(pid: int) -> int:
    """Return when a process began, in ticks since boot; 0 if there is no such process."""
    fields = _fields(pid)
    return int(fields[19]) if len(fields) > 19 else 0


def newest() -> int:
    """Return the pid of the newest process; 0 if unknown."""
    try:
        return int(_read(f"{PROC}/loadavg").split()[-1])
    except (IndexError, ValueError):
        return 0


def name(pid: int) -> str:
    """Return program and first word, such as `python3 child.py`. Further words may be long or secret."""
    words = _read(f"{PROC}/{pid}/cmdline").decode(errors="replace").split("\0")[:2]
    names = (word.rsplit("/", 1)[-1] for word in words if not word.startswith("{"))  # a message contains a token
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
    """Return the directory of the attempt that a process belongs to; empty if there is none."""
    _, found, rest = (b"\0" + _read(f"{PROC}/{pid}/environ")).partition(f"\0{MARK}=".encode())
    return os.fsdecode(rest.partition(b"\0")[0]) if found else ""


def _read(path: str) -> bytes:
    """Return the content of a file; empty if the process has just ended, or is another user's."""
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read()
    except OSError as error:
        if error.errno in EXHAUSTED:  # then nothing is known, which is not the same
            raise
        return b""

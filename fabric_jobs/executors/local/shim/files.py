"""The files of an attempt that the shim writes."""

from __future__ import annotations

import os
from contextlib import suppress

BEGUN, STOPPED, EXIT, SWEPT, REMARKS = "begun", "stopped", "exit", "swept", "remarks"
NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC


def claim(directory: str, shim: str) -> bool:
    """Claim an attempt for this shim; return False if it is claimed already."""
    try:
        descriptor = os.open(f"{directory}/{BEGUN}", NEW, 0o600)
    except FileExistsError:
        return False
    try:
        with open(descriptor, "w") as file:
            file.write(f"{shim}\n")
    except OSError:
        give_back(directory)
        raise
    return True


def note_process(directory: str, pid: int, started: int) -> None:
    """Record the process of the program."""
    append(f"{directory}/{BEGUN}", f"{pid} {started} {os.stat(directory).st_ino}\n")


def give_back(directory: str) -> None:
    """Release the claim, since the program was not started."""
    with suppress(FileNotFoundError):
        os.unlink(f"{directory}/{BEGUN}")


def mark(directory: str, name: str) -> None:
    """Make an empty file."""
    os.close(os.open(f"{directory}/{name}", APPEND, 0o600))


def append(path: str, text: str) -> None:
    """Append a text to a file."""
    with open(os.open(path, APPEND, 0o600), "w", encoding="utf-8", errors="replace") as file:
        file.write(text)


def write_exit(directory: str, code: int) -> None:
    """Write the exit code durably. Without its newline it does not count, so no temporary name is needed.

    Most file systems sync a new file together with its name, so the directory needs no sync. A rename would cost
    another wait for the disk.
    """
    path = f"{directory}/{EXIT}"
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "w") as file:
        file.write(f"{code}\n")
        file.flush()
        os.fsync(file.fileno())
    descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""Keeps a program from running again where a cluster starts a container again that has ended: beside others, as a sidecar."""

from __future__ import annotations

import os
import signal

MARK = "started"  # a file beside the output
ASKED = (signal.SIGTERM, signal.SIGINT)


def is_first(directory: str) -> bool:
    """Return whether this is the first start in a pod, and note it. Raises OSError."""
    os.makedirs(directory, exist_ok=True)
    try:
        os.close(os.open(os.path.join(directory, MARK), os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        return False
    return True


def rest() -> None:
    """Do nothing until somebody asks this process to end, which it then does."""
    for number in ASKED:
        signal.signal(number, _end)
    while True:
        signal.pause()


def _end(number: int, _: object) -> None:
    os._exit(128 + number)

"""Wakes the main thread of a pool's pod: for signals, for what its template process says, for another thread."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from select import POLLIN, poll

TYPE_CHECKING = False  # `typing` is slow to import
if TYPE_CHECKING:
    import socket
    from typing import Any

READ_BYTES = 4096


class Wakes:
    """The signals of this process. As process 1 it gets only those that it handles."""

    def __init__(self) -> None:
        self.is_asked_to_end = False
        self._woken, self._wakes = os.pipe()
        for end in (self._woken, self._wakes):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self._wakes, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._end)
        for number in (signal.SIGCHLD, signal.SIGIO):  # a process has ended; a file has grown
            signal.signal(number, _wake)

    def wake(self) -> None:
        """Let `wait` return, from any thread."""
        with suppress(BlockingIOError):
            os.write(self._wakes, b"\0")

    def wait(self, control: socket.socket | None, seconds: float | None = None) -> None:
        """Wait for a wake or until a socket is readable; None: however long it takes."""
        polled = poll()
        polled.register(self._woken, POLLIN)
        if control is not None and control.fileno() >= 0:
            polled.register(control.fileno(), POLLIN)
        polled.poll(None if seconds is None else 1000 * seconds)
        with suppress(BlockingIOError):
            while len(os.read(self._woken, READ_BYTES)) == READ_BYTES:
                pass

    def _end(self, number: int, frame: Any) -> None:
        self.is_asked_to_end = True


def _wake(number: int, frame: Any) -> None:
    """Let `wait` return: Python writes into its pipe."""

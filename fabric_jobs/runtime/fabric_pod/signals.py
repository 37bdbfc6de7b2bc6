"""Wakes the launcher when something happens, passes signals on to the program, and collects processes that have ended."""

from __future__ import annotations

import contextlib
import os
import select
import signal

TYPE_CHECKING = False  # `typing` is slow to import
if TYPE_CHECKING:
    from typing import Any

FORWARDED = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGCONT,
    signal.SIGWINCH,
)
WAKING = (signal.SIGCHLD, signal.SIGIO)  # a process has ended; a file has grown
READ_BYTES = 4096


class Signals:
    """The signals of this process. As process 1 it gets only those that it handles."""

    def __init__(self) -> None:
        """Handle signals from now on. Until there is a program, one that asks to end ends this process."""
        self.asked = False  # a signal has asked the program to end
        self._is_told = False  # it is asked by the gateway, so one more signal says the same
        self._program = 0
        self._status: int | None = None
        self._starting: int | None = None  # the signal that came while the program was started; 0: none so far
        self._woken, wakes = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(wakes, False)
        self._poll = select.poll()
        self._poll.register(self._woken, select.POLLIN)
        signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
        for number in FORWARDED:
            signal.signal(number, self._forward)
        for number in WAKING:
            signal.signal(number, _wake)

    def starting(self) -> None:
        """Keep signals from now on for the program, which is about to be started."""
        self._starting = 0

    def started(self, program: int) -> None:
        """Pass signals on to the group of this process."""
        self._program = program
        if self._starting:
            self._forward(self._starting, None)

    def failed(self, code: int) -> None:
        """Note that the program could not be started: it has ended with this exit code."""
        self._status = code

    def ask(self) -> None:
        """Ask the program to end, unless a signal has. The cluster's signal, which may come later, is not passed on then."""
        if not self.asked and not self._is_told:
            self._is_told = True
            os.kill(os.getpid(), signal.SIGTERM)

    def kill(self) -> None:
        """Kill the program and what it has started."""
        if self._program and self._status is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(-self._program, signal.SIGKILL)

    def wait(self, seconds: float | None) -> None:
        """Wait for a signal; None: however long it takes."""
        if self._poll.poll(None if seconds is None else 1000 * seconds):
            with contextlib.suppress(BlockingIOError):
                while len(os.read(self._woken, READ_BYTES)) == READ_BYTES:
                    pass

    def ended(self) -> int | None:
        """Return the exit code of the program, 128 and more for a signal; None while it runs.

        Whatever it has started ends with it.
        """
        while True:
            try:
                process, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if not process:
                break
            if process == self._program and self._status is None:
                self._status = 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
                self._end_rest()
        return self._status

    def _end_rest(self) -> None:
        """Kill what the program has left. As process 1, this one ends all others of its container when it ends."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(-1 if os.getpid() == 1 else -self._program, signal.SIGKILL)

    def _forward(self, number: int, frame: Any) -> None:
        if number == signal.SIGTERM:
            if self.asked and self._is_told:
                self._is_told = False
                return
            self.asked = True
        if self._program:
            if self._status is None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(-self._program, number)
        elif self._starting is not None:
            self._starting = number
        elif number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
            os._exit(128 + number)


def _wake(number: int, frame: Any) -> None:
    """Let `wait` return: Python writes into its pipe."""

"""Runs a command on a terminal of its own, for commands that tell how far they are on a terminal only."""

from __future__ import annotations

import errno
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
from collections.abc import Iterator, Sequence
from types import TracebackType

from fabric_jobs.images.docker_command import STOP_SECONDS

TICK_SECONDS = 1.0  # after which who watches is told that nothing was said
SIZE = struct.pack("HHHH", 500, 500, 0, 0)  # rows and columns: nothing is folded
CONTROL = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")
END_OF_LINE = re.compile(rb"[\r\n]+")


class TerminalProcess:
    """Used in a `with`, which does not outlast the command: what still runs at its end is stopped, Ctrl-C or not."""

    def __init__(self, words: Sequence[str]) -> None:
        """Start a command; raise OSError."""
        self._terminal, inside = pty.openpty()
        try:
            fcntl.ioctl(inside, termios.TIOCSWINSZ, SIZE)
            self._process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=inside,
                stderr=inside,
                process_group=0,  # a Ctrl-C is for us alone
            )
        except OSError:
            os.close(self._terminal)
            raise
        finally:
            os.close(inside)

    def __enter__(self) -> TerminalProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self._process.wait()
        finally:
            os.close(self._terminal)

    def lines(self) -> Iterator[str]:
        """Yield what is said, line by line; a line that is drawn anew is one more, and one without text says: it goes on."""
        rest = b""
        while True:
            if not select.select([self._terminal], [], [], TICK_SECONDS)[0]:
                yield ""
                continue
            block = self._read()
            if not block:
                break
            *lines, rest = END_OF_LINE.split(rest + block)
            yield from map(_text, lines)
        yield _text(rest)

    def wait(self) -> int:
        """Wait for its end, and return its exit code."""
        return self._process.wait()

    def _read(self) -> bytes:
        try:
            return os.read(self._terminal, 1 << 16)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return b""  # nobody has the other end any more

    def _signal(self, number: signal.Signals) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, number)


def _text(line: bytes) -> str:
    return CONTROL.sub(b"", line).decode(errors="replace").strip()

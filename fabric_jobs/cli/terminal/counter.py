"""One live line on stderr that says how far something is; plain lines, now and then, where that is no terminal."""

from __future__ import annotations

import os
import sys
import time
from types import TracebackType

import click

from fabric_jobs.cli.terminal.activation import PLAIN_SECONDS


class Counter:
    """Used in a `with`; the line is gone after it, for what comes then tells the end."""

    def __init__(self) -> None:
        self._live = sys.stderr is not None and sys.stderr.isatty()
        self._last = time.monotonic()

    def __enter__(self) -> Counter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._write("")

    def show(self, text: str) -> None:
        """Show how far it is."""
        if self._live:
            self._write(text)
        elif time.monotonic() - self._last >= PLAIN_SECONDS:
            self._last = time.monotonic()
            click.echo(text, err=True)

    def _write(self, text: str) -> None:
        if self._live:
            columns = os.get_terminal_size(sys.stderr.fileno()).columns or 80
            sys.stderr.write(f"\r\x1b[2K{text[: max(20, columns - 1)]}")
            sys.stderr.flush()

"""Live progress of builds: one line per image on stderr; plain lines where that is no terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

import click

from fabric_jobs.cli.terminal.printing import seconds

if TYPE_CHECKING:
    from fabric_jobs.workspace.build import BuildStatus

LIVE_SECONDS = 0.2
STATE_WIDTH = len("unchanged")
ENDED = ("built", "unchanged", "failed")


class BuildProgress:
    """Draws what builds are doing; tells of each that fails, and with what output, at once."""

    def __init__(self, *, quiet: bool = False, stream: TextIO | None = None) -> None:
        """`quiet` tells of failures only."""
        self._stream = stream or sys.stderr  # None when it is closed
        self._quiet = quiet or self._stream is None
        self._live = not self._quiet and self._stream.isatty()
        self._lines = 0
        self._told: dict[int, str] = {}  # the state of each row that was told last
        self._drawn: list[str] = []

    def update(self, rows: Sequence[BuildStatus]) -> None:
        """Take the state of all builds."""
        for index, row in enumerate(rows):
            if row.state != self._told.get(index, "waiting"):
                self._told[index] = row.state
                self._tell(row)
        if self._live:
            self._draw([self._line(row, rows) for row in rows])

    def warn(self, text: str) -> None:
        """Say what the user had better change."""
        self._erase()
        self._say(f"Warning: {text}")

    def close(self) -> None:
        """Leave the last drawing standing; what is printed after it begins below."""
        self._lines = 0

    def _tell(self, row: BuildStatus) -> None:
        """Say once what has come about: the whole output of a failure; where nobody watches, every change of state."""
        if row.state == "failed":
            self._erase()
            self._say(f"{label(row)} failed:\n{row.failure}\n")
        elif not self._live and not self._quiet:
            took = f" in {seconds(row.seconds)}" if row.state == "built" else " …" if row.state == "building" else ""
            self._say(f"{label(row)}: {row.state}{took}")

    def _say(self, text: str) -> None:
        if self._stream is not None:
            click.echo(text, file=self._stream)

    def _line(self, row: BuildStatus, rows: Sequence[BuildStatus]) -> str:
        width = max(len(label(row)) for row in rows)
        took = seconds(row.seconds) if row.seconds else ""
        step = row.step if row.state not in ENDED else ""
        return f"  {label(row):{width}}  {row.state:{STATE_WIDTH}}  {took:>8}  {step}".rstrip()

    def _erase(self) -> None:
        if self._lines:
            self._stream.write(f"\x1b[{self._lines}A\x1b[J")
            self._lines = 0

    def _draw(self, lines: list[str]) -> None:
        size = os.get_terminal_size(self._stream.fileno())
        lines = fitting([line[: max(20, (size.columns or 80) - 1)] for line in lines], (size.lines or 24) - 1)
        if lines == self._drawn and self._lines:
            return
        up = f"\x1b[{self._lines}A" if self._lines else ""
        self._stream.write(up + "".join(f"\x1b[2K{line}\n" for line in lines) + "\x1b[J")
        self._stream.flush()
        self._lines, self._drawn = len(lines), lines


def label(row: BuildStatus) -> str:
    """Return what a line calls an image: its skill, and its action where that is called otherwise."""
    target = row.target
    return target.skill if target.skill == target.action else f"{target.skill} {target.action}"


def fitting(lines: list[str], height: int) -> list[str]:
    """Return the lines that a terminal has room for; what would scroll away could not be drawn over."""
    if len(lines) <= height:
        return lines
    going = [line for line in lines if not any(f"  {state}" in line for state in (*ENDED, "waiting"))]
    shown = going[: height - 1]
    return [*shown, f"  … and {len(lines) - len(shown)} more"]

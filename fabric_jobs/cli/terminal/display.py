"""The live display: lines on stderr that are redrawn; without a terminal, plain lines now and then."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TextIO

import click

PLAIN_SECONDS = 5.0  # between two reports without a terminal
LIVE_SECONDS = 0.2
STATE_WIDTH = len("unchanged")
NARROWEST = 20  # columns; a terminal that says it has fewer does not know


@dataclass(frozen=True, kw_only=True)
class Row:
    """What a line says."""

    label: str
    state: str
    figures: Sequence[str] = ()  # what matters most first
    note: str = ""
    is_going: bool = True  # rather than waiting, or ended


class Display:
    """Draws lines over what they were before; used in a `with`, or closed: what is printed then begins below."""

    def __init__(self, *, quiet: bool = False, stream: TextIO | None = None, stays: bool = True) -> None:
        """`quiet` draws nothing, and says only what it is told to say; unless it `stays`, the drawing goes in the end."""
        self._stream = stream or sys.stderr  # None when it is closed
        self.is_quiet = quiet or self._stream is None
        self.is_live = not self.is_quiet and self._stream.isatty() and os.environ.get("TERM") != "dumb"
        self._stays = stays
        self._drawn: list[str] = []
        self._told: set[object] = set()
        self._last = time.monotonic()

    def __enter__(self) -> Display:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def interval(self) -> float:
        """Seconds after which there should be something new to show."""
        return LIVE_SECONDS if self.is_live else PLAIN_SECONDS

    def show(self, rows: Sequence[Row]) -> None:
        """Show all rows; without a terminal, now and then those that are going."""
        if self.is_live:
            self._draw(lines_of(rows, *self._size()))
        elif self._is_time():
            going = [row for row in rows if row.is_going]
            self.say("\n".join(line.strip() for line in lines_of(going)))

    def show_line(self, text: str) -> None:
        """Show one line of text; an empty one takes it away."""
        if self.is_live:
            self._draw([text[: max(NARROWEST, self._size()[0] - 1)]] if text else [])
        elif self._is_time():
            self.say(text)

    def say(self, text: str) -> None:
        """Say what stays, above what is drawn."""
        self._erase()
        if text and self._stream is not None:
            click.echo(text, file=self._stream)

    def once(self, key: object, text: str) -> None:
        """Say what stays, unless it was said."""
        if key not in self._told:
            self._told.add(key)
            self.say(text)

    def close(self) -> None:
        """Let what comes after it begin below, or in its place."""
        if not self._stays:
            self._erase()
        self._drawn = []

    def _is_time(self) -> bool:
        if self.is_quiet or time.monotonic() - self._last < PLAIN_SECONDS:
            return False
        self._last = time.monotonic()
        return True

    def _erase(self) -> None:
        if self._drawn:
            self._stream.write(f"\x1b[{self._height()}A\x1b[J")
            self._stream.flush()
            self._drawn = []

    def _draw(self, lines: list[str]) -> None:
        if lines != self._drawn:
            height = self._height()
            up = f"\x1b[{height}A" if height else ""
            rest = "\x1b[J" if len(lines) < height else ""
            self._stream.write(up + "".join(f"\x1b[2K{line}\n" for line in lines) + rest)
            self._stream.flush()
            self._drawn = lines

    def _height(self) -> int:
        """Return how many lines of the terminal the drawing has; one that has become narrower has broken ours."""
        columns, _ = self._size()
        return sum(max(1, math.ceil(len(line) / columns)) for line in self._drawn)

    def _size(self) -> tuple[int, int]:
        size = os.get_terminal_size(self._stream.fileno())
        return size.columns or 80, size.lines or 24  # 0: it does not know


def lines_of(rows: Sequence[Row], columns: int = 1000, lines: int = 1000) -> list[str]:
    """Return what a terminal of this size shows of rows: one line each, fewer figures, and no row that would scroll away.

    Where it is narrow the last figures go, whole: a part of one would lie. Where it is low, rows that are going come first.
    """
    widths = [max(map(len, cells)) for cells in zip_longest(*map(_cells, rows), fillvalue="")]
    while len(widths) > 2 and sum(width + 2 for width in widths if width) >= columns:
        widths.pop()
    shown = rows if len(rows) < lines else [row for row in rows if row.is_going][: max(0, lines - 2)]
    found = [_line(row, widths)[: max(NARROWEST, columns - 1)].rstrip() for row in shown]
    return found if len(shown) == len(rows) else [*found, f"  … and {len(rows) - len(shown):,} more"]


def _cells(row: Row) -> list[str]:
    return [row.label, f"{row.state:{STATE_WIDTH}}", *row.figures]


def _line(row: Row, widths: Sequence[int]) -> str:
    cells = "".join(f"  {cell:{width}}" for cell, width in zip(_cells(row), widths, strict=False) if width)
    return f"{cells}  {row.note}" if row.note else cells

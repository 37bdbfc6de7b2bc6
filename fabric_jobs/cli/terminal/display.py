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
NARROWEST = 20  # columns; a terminal that reports fewer is not to be believed


@dataclass(frozen=True, kw_only=True)
class Row:
    """The content of a line."""

    label: str
    state: str
    figures: Sequence[str] = ()  # the most important first
    note: str = ""
    is_going: bool = True  # neither waiting nor ended


class Display:
    """Redraws lines in place. Use it in a `with`, or close it, so that later output begins below."""

    def __init__(self, *, quiet: bool = False, stream: TextIO | None = None, stays: bool = True) -> None:
        """`quiet` draws nothing, and only `say` prints; unless `stays`, the drawing is erased at the end."""
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
        """Seconds until the next update."""
        return LIVE_SECONDS if self.is_live else PLAIN_SECONDS

    def show(self, rows: Sequence[Row]) -> None:
        """Show all rows; without a terminal, print the active ones now and then."""
        if self.is_live:
            self._draw(lines_of(rows, *self._size()))
        elif self._is_time():
            going = [row for row in rows if row.is_going]
            self.say("\n".join(line.strip() for line in lines_of(going)))

    def show_line(self, text: str) -> None:
        """Show one line of text; an empty one removes it."""
        if self.is_live:
            self._draw([text[: max(NARROWEST, self._size()[0] - 1)]] if text else [])
        elif self._is_time():
            self.say(text)

    def say(self, text: str) -> None:
        """Print a text that stays, above the drawing."""
        self._erase()
        if text and self._stream is not None:
            click.echo(text, file=self._stream)

    def once(self, key: object, text: str) -> None:
        """Print a text that stays, unless one with this key was printed."""
        if key not in self._told:
            self._told.add(key)
            self.say(text)

    def close(self) -> None:
        """Leave the drawing, or erase it unless it `stays`; later output follows."""
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
        """Return how many terminal lines the drawing takes; a terminal that became narrower has wrapped some."""
        columns, _ = self._size()
        return sum(max(1, math.ceil(len(line) / columns)) for line in self._drawn)

    def _size(self) -> tuple[int, int]:
        size = os.get_terminal_size(self._stream.fileno())
        return size.columns or 80, size.lines or 24  # 0: unknown


def lines_of(rows: Sequence[Row], columns: int = 1000, lines: int = 1000) -> list[str]:
    """Return the lines for rows in a terminal of this size: one for each row, with fewer figures and rows if it is small.

    A narrow one drops whole figures, since a truncated figure would mislead. A low one shows active rows only.
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

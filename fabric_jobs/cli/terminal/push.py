"""Live progress of pushes: one line per image on stderr; plain lines where that is no terminal."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, TextIO

import click

from fabric_jobs.cli.quantities import bytes_text
from fabric_jobs.cli.terminal.activation import PLAIN_SECONDS
from fabric_jobs.cli.terminal.printing import seconds

if TYPE_CHECKING:
    from fabric_jobs.images.push import Pushing
    from fabric_jobs.workspace.publishing.images import PlannedImage


class PushProgress:
    """Draws how far the push of an image is, in a line that stays when it is done; images are pushed one by one."""

    def __init__(self, images: Iterable[PlannedImage], *, quiet: bool = False, stream: TextIO | None = None) -> None:
        """`quiet` draws nothing."""
        self._stream = stream or sys.stderr
        self._quiet = quiet or self._stream is None  # None when it is closed
        self._live = not self._quiet and self._stream.isatty()
        self._width = max((len(_label(image)) for image in images if image.push), default=0)
        self._current: PlannedImage | None = None
        self._started = self._told = time.monotonic()
        self._note = ""

    def update(self, image: PlannedImage, pushing: Pushing | None) -> None:
        """Take how far an image is; None: it is pushed."""
        if self._quiet:
            return
        if image != self._current:
            self._begin(image)
        if pushing is None:
            self._write(image, f"pushed     {seconds(time.monotonic() - self._started):>8}", stays=True)
            self._current = None
        elif self._live:
            self._write(image, f"pushing    {seconds(time.monotonic() - self._started):>8}", *_parts(pushing))
        else:
            self._tell(image, pushing)

    def close(self) -> None:
        """Let what comes after it begin on a line of its own."""
        if self._live and self._current is not None:
            self._stream.write("\n")
            self._stream.flush()
        self._current = None

    def _begin(self, image: PlannedImage) -> None:
        self._current, self._note = image, ""
        self._started = self._told = time.monotonic()
        if not self._live:
            self._write(image, f"pushing {image.reference} …", stays=True)

    def _tell(self, image: PlannedImage, pushing: Pushing) -> None:
        """Where nobody watches: say now and then how far it is, and once what keeps it from going on."""
        now = time.monotonic()
        is_news = bool(pushing.note) and not self._note
        if is_news or now - self._told >= PLAIN_SECONDS:
            self._told = now
            self._write(image, ", ".join(_parts(pushing)), stays=True)
        self._note = pushing.note

    def _write(self, image: PlannedImage, text: str, *more: str, stays: bool = False) -> None:
        """Write a line; where the terminal is narrow the last of `more` go, whole: a part of a figure would lie."""
        line = f"  {_label(image):{self._width}}  {text}"
        if not self._live:
            click.echo(line.strip(), file=self._stream)
            return
        columns = os.get_terminal_size(self._stream.fileno()).columns or 80  # 0: it does not know
        rest = list(more)
        while rest and len(line) + 2 + len(", ".join(rest)) >= columns:
            rest.pop()
        line = "  ".join([line, *([", ".join(rest)] if rest else [])])
        end = "\n" if stays else ""
        self._stream.write(f"\r\x1b[2K{line[: max(20, columns - 1)]}{end}")
        self._stream.flush()


def _label(image: PlannedImage) -> str:
    """Return what a line calls an image: its skill, and its action where that is called otherwise."""
    return image.skill if image.skill == image.action else f"{image.skill} {image.action}"


def _parts(pushing: Pushing) -> list[str]:
    """Return how far a push is, what matters most first."""
    parts = [f"{pushing.done} of {len(pushing.layers)} layers"] if pushing.layers else ["waiting for docker"]
    if pushing.all_bytes:
        parts.append(f"{bytes_text(pushing.sent_bytes)} of {bytes_text(pushing.all_bytes)}")
    return [*parts, *([pushing.note] if pushing.note else [])]

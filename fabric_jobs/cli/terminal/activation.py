"""Live progress: one line per skill (in, out, waiting, rate) on stderr; plain lines where that is no terminal."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any, TextIO

import click

PLAIN_SECONDS = 5.0  # between two reports where nobody watches
LIVE_SECONDS = 0.2


class Progress:
    """Draws what an activation is doing; `close` leaves the last state standing."""

    def __init__(self, *, quiet: bool = False, stream: TextIO | None = None) -> None:
        """`quiet` draws nothing."""
        self._stream = stream or sys.stderr
        self._quiet = quiet or self._stream is None  # None when it is closed
        self._live = not self._quiet and self._stream.isatty()
        self._lines = 0
        self._started = time.monotonic()
        self._last = self._started
        self._seen: dict[str, tuple[float, int]] = {}
        self._rates: dict[str, float] = {}
        self._nodes: Sequence[Mapping[str, Any]] = ()
        self._told: set[str] = set()  # what is said once

    @property
    def interval(self) -> float:
        """Seconds after which `update` wants news."""
        return LIVE_SECONDS if self._live else PLAIN_SECONDS

    def update(self, nodes: Sequence[Mapping[str, Any]]) -> None:
        """Take the progress of every skill."""
        self._nodes = nodes
        now = time.monotonic()
        for node in nodes:
            self._measure(node, now)
            if not self._quiet:
                self._tell(node)
        if self._live:
            self._draw()
        elif not self._quiet and now - self._last >= PLAIN_SECONDS:
            self._last = now
            for line in self._text():
                click.echo(line, file=self._stream)

    def close(self) -> None:
        """Leave the last drawing standing; what is drawn after it begins below."""
        if self._live and self._lines:
            self._draw()
        self._lines = 0

    def _measure(self, node: Mapping[str, Any], now: float) -> None:
        key, done = node["node"], node["in"] - node["waiting"]
        before = self._seen.get(key)
        if before is None:
            self._seen[key] = (self._started, 0)
            before = self._seen[key]
        if now - before[0] >= LIVE_SECONDS:
            self._rates[key] = max(0.0, (max(done, node["out"]) - before[1]) / (now - before[0]))
            self._seen[key] = (now, max(done, node["out"]))

    def _tell(self, node: Mapping[str, Any]) -> None:
        """Say once what stays true; and, where nobody watches, that something is being prepared."""
        remarks = node.get("remarks", ())
        more = f" ({len(remarks) - 1} more: fabric-jobs workspaces lint)" if len(remarks) > 1 else ""
        lines = [f"{node['skill']}: {remark}{more}" for remark in remarks[:1]]
        if node.get("note") and not self._live:
            lines.append(f"{node['skill']}: {node['note'].partition(': ')[0]} …")
        for line in lines:
            if line not in self._told:
                self._told.add(line)
                self._erase()
                click.echo(line, file=self._stream)

    def _text(self, columns: int = 1000) -> list[str]:
        """Return one line per skill; where the terminal is narrow the last figures go, whole: a part of one would lie."""
        rows = [self._cells(node) for node in self._nodes]
        widths = [max(map(len, cells)) for cells in zip_longest(*rows, fillvalue="")]
        while len(widths) > 2 and sum(widths) + 2 * len(widths) >= columns:
            widths.pop()
        lines = ["".join(f"  {cell:{width}}" for cell, width in zip(row, widths, strict=False)) for row in rows]
        notes = [node.get("note") for node in self._nodes]
        return [f"{line}  {note}" if note else line for line, note in zip(lines, notes, strict=True)]

    def _cells(self, node: Mapping[str, Any]) -> tuple[str, ...]:
        if node.get("note"):  # its program does not run yet, so there are no figures
            return (node["skill"], f"{'starting':8}")
        rate = self._rates.get(node["node"], 0.0)
        return (
            node["skill"],
            f"{_state(node):8}",
            f"in {node['in']:>7,}",
            f"out {node['out']:>7,}",
            f"waiting {node['waiting']:>6,}",
            f"{rate:>7,.0f}/s",
            *([f"failed {node['failed']:,}"] if node.get("failed") else []),
        )

    def _erase(self) -> None:
        if self._lines:
            self._stream.write(f"\x1b[{self._lines}A\x1b[J")
            self._lines = 0

    def _draw(self) -> None:
        columns = os.get_terminal_size(self._stream.fileno()).columns or 80  # 0: it does not know
        lines = [line[: max(20, columns - 1)] for line in self._text(columns)]
        up = f"\x1b[{self._lines}A" if self._lines else ""
        self._stream.write(up + "".join(f"\x1b[2K{line}\n" for line in lines))
        self._stream.flush()
        self._lines = len(lines)


def _state(node: Mapping[str, Any]) -> str:
    """Return one word for a skill's tasks: the worst that has happened, else the liveliest."""
    states = node["tasks"]
    for state, word in (
        ("FAILED", "failed"),
        ("TIMEOUT", "timeout"),
        ("ACTIVE", "running"),
        ("STARTING", "starting"),
        ("QUEUED", "queued"),
        ("CANCELLED", "stopped"),
        ("COMPLETE", "done"),
    ):
        if states.get(state):
            return word
    return "idle"

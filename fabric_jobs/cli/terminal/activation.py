"""The rows of the display for an activation: what each skill received and sent, and how fast."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from fabric_jobs.cli.terminal.display import LIVE_SECONDS, Display, Row

# The word for a skill: the worst state of its tasks, else the liveliest.
WORDS = {
    "FAILED": "failed",
    "TIMEOUT": "timeout",
    "ACTIVE": "running",
    "STARTING": "starting",
    "QUEUED": "queued",
    "CANCELLED": "stopped",
    "COMPLETE": "done",
}
GOING = ("ACTIVE", "STARTING", "QUEUED")


class Skills:
    """Shows the progress of the skills of an activation."""

    def __init__(self, display: Display) -> None:
        self._display = display
        self._started = time.monotonic()
        self._seen: dict[str, tuple[float, int]] = {}
        self._rates: dict[str, float] = {}

    def update(self, nodes: Sequence[Mapping[str, Any]]) -> float:
        """Show the progress of every skill; return the seconds until the next update."""
        now = time.monotonic()
        for node in nodes:
            self._measure(node, now)
            if not self._display.is_quiet:
                self._tell(node)
        self._display.show([row_of(node, self._rates.get(node["node"], 0.0)) for node in nodes])
        return self._display.interval

    def _measure(self, node: Mapping[str, Any], now: float) -> None:
        done = max(node["in"] - node["waiting"], node["out"])
        at, before = self._seen.setdefault(node["node"], (self._started, 0))
        if now - at >= LIVE_SECONDS:
            self._rates[node["node"]] = max(0.0, (done - before) / (now - at))
            self._seen[node["node"]] = (now, done)

    def _tell(self, node: Mapping[str, Any]) -> None:
        """Print remarks once and, without a terminal, that something is being prepared."""
        remarks = node.get("remarks", ())
        more = f" ({len(remarks) - 1} more: fabric-jobs workspaces lint)" if len(remarks) > 1 else ""
        lines = [f"{node['skill']}: {remark}{more}" for remark in remarks[:1]]
        if node.get("note") and not self._display.is_live:
            lines.append(f"{node['skill']}: {node['note'].partition(': ')[0]} …")
        for line in lines:
            self._display.once(line, line)


def row_of(node: Mapping[str, Any], rate: float = 0.0) -> Row:
    """Return the line of a skill."""
    tasks = node["tasks"]
    if node.get("note"):  # its program is not running yet, so there are no figures
        return Row(label=node["skill"], state="starting", note=node["note"])
    state = next((word for key, word in WORDS.items() if tasks.get(key)), "idle")
    figures = (
        f"failed {node['failed']:,}" if node.get("failed") else "",
        f"in {node['in']:>7,}",
        f"out {node['out']:>7,}",
        f"waiting {node['waiting']:>6,}",
        f"{rate:>7,.0f}/s",
    )
    return Row(label=node["skill"], state=state, figures=figures, is_going=any(map(tasks.get, GOING)))

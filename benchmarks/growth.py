"""What the last of many tasks cost against the first ones, and an invocation where much has ended against one where nothing has.

Nothing may grow with what has ended: neither the time of a message task, nor the owner's CPU and memory, nor an invocation.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.common import Usage, arguments, owner, usage, workspace, write_action, write_agent, write_skill
from fabric_jobs.client import activations
from fabric_jobs.client.gateway import Gateway
from fabric_jobs.store.audit import snapshot
from fabric_jobs.store.totals import by_node
from fabric_jobs.workspace import run as verbs
from fabric_jobs.workspace.tree import Workspace

BLOCK = 1000  # tasks that are measured together
MADE_ONCE = 200  # tasks before the first block
LOOK_SECONDS = 0.05
INVOCATIONS = 100  # in each of the two workspaces
WORKERS = 2
SOURCE = """
from fabric_skill import message, send_message
for n in range(message()["payload"]):
    send_message(n)
"""
PROGRAM = """
import json, sys
print(json.loads(sys.argv[-1])["payload"])
"""


@dataclass(frozen=True, kw_only=True)
class Moment:
    """Progress of an activation, and usage of the owner."""

    ended: int
    at: float
    used: Usage


def watched(root: Path, activation_id: str, moments: list[int]) -> Iterator[Moment]:
    """Yield the moments when these numbers of tasks had ended. The owner is not asked, since that would load it."""
    for wanted in moments:
        while (ended := _ended(root, activation_id)) < wanted:
            time.sleep(LOOK_SECONDS)
        yield Moment(ended=ended, at=time.perf_counter(), used=usage(root))


def _ended(root: Path, activation_id: str) -> int:
    with snapshot(root / ".fabric-jobs" / "state.db", lambda: False) as sql:
        return sum(found.states.get("COMPLETE", 0) for found in by_node(sql, activation_id).values())


def cost(begin: Moment, end: Moment) -> tuple[float, float]:
    """Return milliseconds, and milliseconds of the owner's CPU, per task between two moments."""
    count = end.ended - begin.ended
    return (end.at - begin.at) / count * 1000, (end.used.cpu - begin.used.cpu) / count * 1000


@contextmanager
def served() -> Iterator[tuple[Path, Gateway]]:
    """Yield a workspace with the skills of this benchmark, and its gateway."""
    with workspace() as root:
        write_skill(root, "source", SOURCE)
        write_skill(root, "each", PROGRAM, workers=WORKERS, warm=True)
        write_agent(root, "growth", "source", "each")
        keys: dict[str, object] = {"type": "job", "receives": "message", "response": "stdout", "command": ["/bin/true"]}
        write_action(root, "nothing", "", keys)
        with owner(root) as gateway:
            verbs.save_skill(gateway, Workspace(root), "nothing", None)
            yield root, gateway


def invoke(gateway: Gateway) -> float:
    """Return the milliseconds of one invocation, from the request to its record."""
    started = time.perf_counter()
    record = gateway.post("/skillinvoke/nothing/inputs/request?sync=true", {"payload": 0})
    activations.check_ended_well(record)
    return (time.perf_counter() - started) * 1000


def main() -> None:
    """Measure and print."""
    wanted = arguments(__doc__ or "", tasks=50_000)
    with served() as (root, gateway):
        target = verbs.save_agent(gateway, Workspace(root), "growth", None)
        activation_id = verbs.start(gateway, target, {"payload": wanted.tasks}, root)
        last = max(wanted.tasks - BLOCK, MADE_ONCE + BLOCK)
        seen = []
        for moment in watched(root, activation_id, [MADE_ONCE, MADE_ONCE + BLOCK, last, wanted.tasks]):
            seen.append(moment)
            print(f"  {moment}", file=sys.stderr, flush=True)
        activations.check_ended_well(activations.follow(gateway, activation_id, lambda nodes: 30.0))
        with served() as (_, other):
            pairs = [(invoke(gateway), invoke(other)) for _ in range(INVOCATIONS)]
    first, end = cost(seen[0], seen[1]), cost(seen[2], seen[3])
    invocations = tuple(map(statistics.median, zip(*pairs, strict=True)))
    found = {
        "time": end[0] / first[0],
        "CPU": end[1] / first[1],
        "invocation": invocations[0] / invocations[1],
        "memory": seen[3].used.rss / seen[1].used.rss,
    }
    if wanted.json:
        values = {"ours": end[1], "baseline": first[1], "unit": "ms CPU/task"}
        print(json.dumps({"ratio": max(found.values()), **values, **found}))
        return
    for name, ratio in found.items():
        print(f"growth, {name}: {ratio:.2f} x, wanted <= 1.1")
    print(f"  ms and ms of CPU for each task: first {first[0]:.1f}, {first[1]:.2f}; last {end[0]:.1f}, {end[1]:.2f}")
    print(
        f"  ms an invocation: {invocations[0]:.1f} where {wanted.tasks:,} tasks have ended, {invocations[1]:.1f} where none has"
    )


if __name__ == "__main__":
    main()

"""An aggregator that is killed once, and one that a single record kills, against the same run undisturbed.

The first dies of a signal from outside after it has read everything, and is tried again. The second dies of one record each
time it comes to it, until that record is a dead letter. From the invocation to the end of the activation.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

from benchmarks.common import arguments, measure, owner, report, workspace, write_agent, write_skill
from fabric_jobs.client import activations
from fabric_jobs.client.gateway import Gateway
from fabric_jobs.client.response import ResponseReader
from fabric_jobs.workspace import run as verbs
from fabric_jobs.workspace.tree import Workspace

SOURCE = """
from fabric_skill import message, send_message
for n in range(message()["payload"]):
    send_message(n)
"""
SUM = """
import os, signal
from pathlib import Path
from fabric_skill import messages, send_message
poison, mark = Path("poison").read_text(), Path("mark")
total = 0
for n in messages(acknowledge="end"):
    if poison == str(n):
        os.kill(os.getpid(), signal.SIGKILL)
    total += n
if poison == "once" and not mark.exists():
    mark.touch()
    os.kill(os.getpid(), signal.SIGKILL)
send_message(total)
"""


def run(root: Path, gateway: Gateway, records: int, poison: str) -> float:
    """Return seconds."""
    action = root / "skills" / "sum" / "actions" / "sum"
    (action / "poison").write_text(poison)
    (action / "mark").unlink(missing_ok=True)
    target = verbs.save_agent(gateway, Workspace(root), "summing", None)
    started = time.perf_counter()
    activation_id = verbs.start(gateway, target, {"payload": records}, root)
    activations.follow(gateway, activation_id, lambda nodes: 30.0)
    took = time.perf_counter() - started
    response = b"".join(ResponseReader(gateway, activation_id).parts())
    left_out = int(poison) if poison.isdecimal() else 0
    if json.loads(response) != sum(range(records)) - left_out:
        raise RuntimeError(f"the response is {response!r}")
    return took


def main() -> None:
    """Measure and print."""
    wanted = arguments(__doc__ or "", records=20_000)
    with workspace() as root:
        write_skill(root, "source", SOURCE)
        retries = {"limit": 1, "backoff_seconds": 0}
        write_skill(root, "sum", SUM, receives="stream", retries=retries, onError="continue")
        write_agent(root, "summing", "source", "sum")
        with owner(root) as gateway:
            cases = (
                ("killed once", "once", "wanted <= 2: everything is read twice"),
                (
                    "a poison record",
                    str(wanted.records * 5 // 8),
                    "wanted <= 6: two deaths, two more reads, the last one",
                ),
            )
            for name, poison, goal in cases:
                pairs = measure(
                    wanted.pairs,
                    lambda poison=poison: run(root, gateway, wanted.records, poison),  # type: ignore[misc]
                    lambda: run(root, gateway, wanted.records, ""),
                )
                report(f"poison, {name}", "s", pairs, goal, as_json=wanted.json, records=wanted.records)


if __name__ == "__main__":
    main()

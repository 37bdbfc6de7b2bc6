"""Records per second of two workers on one stream, against one worker of the same program, which computes for each record."""

from __future__ import annotations

from pathlib import Path

from benchmarks.common import arguments, measure, owner, report, workspace, write_agent, write_skill
from benchmarks.fanout import SOURCE
from fabric_jobs.client import activations
from fabric_jobs.client.gateway import Gateway
from fabric_jobs.workspace import run as verbs
from fabric_jobs.workspace.tree import Workspace

COMPUTE = """
import time
from fabric_skill import messages, send_message
for record in messages():
    began = time.thread_time()
    while time.thread_time() - began < 0.0005:
        pass
    send_message(record)
"""


def rate(root: Path, gateway: Gateway, agent: str, records: int) -> float:
    """Return records per second, from the start of the agent to its end, as the gateway has noted them."""
    target = verbs.save_agent(gateway, Workspace(root), agent, None)
    activation_id = verbs.start(gateway, target, {"payload": records}, root)
    record = activations.follow(gateway, activation_id, lambda nodes: 30.0)
    activations.check_ended_well(record)
    return float(records / (record["end"] - record["start"]) * 1000)


def main() -> None:
    """Measure and print."""
    wanted = arguments(__doc__ or "", records=20_000)
    with workspace() as root:
        write_skill(root, "source", SOURCE)
        for name, workers in (("one", 1), ("two", 2)):
            write_skill(root, f"by-{name}", COMPUTE, receives="stream", workers=workers)
            write_agent(root, name, "source", f"by-{name}")
        with owner(root) as gateway:
            pairs = measure(
                wanted.pairs,
                lambda: rate(root, gateway, "two", wanted.records),
                lambda: rate(root, gateway, "one", wanted.records),
            )
    report("workers", "records/s", pairs, "wanted >= 1.7", as_json=wanted.json, records=wanted.records)


if __name__ == "__main__":
    main()

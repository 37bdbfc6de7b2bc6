"""Records per second from one runtime skill to another, against the same two programs joined by a pipe.

Ours is durable (synchronous=FULL); the pipe is not. From the first send to the last record received.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

from benchmarks.common import (
    RECORDS_FILE,
    arguments,
    environment,
    measure,
    owner,
    owner_rss,
    report,
    workspace,
    write_agent,
    write_skill,
)
from fabric_jobs.client.gateway import Gateway
from fabric_jobs.workspace import run as verbs
from fabric_jobs.workspace.tree import Workspace

LOAD = """
import gzip, json, sys, time
from itertools import cycle, islice
"""
FLIGHTS = """
with gzip.open(wanted["file"]) as lines:
    flights = [json.loads(line) for line in lines]
flights = list(islice(cycle(flights), min(wanted["records"], len(flights))))
"""
SENDER = (
    LOAD
    + """
from fabric_skill import message, send_message
wanted = message()["payload"]
"""
    + FLIGHTS
    + """
with open(wanted["started"], "w") as file:
    file.write(repr(time.monotonic()))
for flight in islice(cycle(flights), wanted["records"]):
    send_message(flight)
"""
)
RECEIVER = """
import json, time
from fabric_skill import messages
count = 0
for flight in messages():
    count += 1
print(json.dumps({"count": count, "ended": time.monotonic()}))
"""
PIPE_SENDER = (
    LOAD
    + """
wanted = json.loads(sys.argv[-1])
"""
    + FLIGHTS
    + """
with open(wanted["started"], "w") as file:
    file.write(repr(time.monotonic()))
out = open(1, "wb", buffering=65536)
for flight in islice(cycle(flights), wanted["records"]):
    out.write(json.dumps(flight).encode() + b"\\n")
out.flush()
"""
)
PIPE_RECEIVER = """
import json, sys, time
count = 0
for line in open(0, "rb", buffering=65536):
    json.loads(line)
    count += 1
print(json.dumps({"count": count, "ended": time.monotonic()}))
"""


class Run:
    """One benchmark run: both sides on the same records."""

    def __init__(self, root: Path, gateway: Gateway, records: int) -> None:
        self.root = root
        self.gateway = gateway
        self.records = records
        self.memory: list[tuple[int, int]] = []  # records sent, KiB; of the first run

    def ours(self) -> float:
        """Return records per second through the gateway."""
        target = verbs.save_agent(self.gateway, Workspace(self.root), "stream", None)
        activation_id = verbs.start(self.gateway, target, {"payload": self._payload()}, self.root)
        done = threading.Event()
        sampler = threading.Thread(target=self._sample, args=(activation_id, done))
        first = not self.memory
        if first:
            sampler.start()
        record = verbs.follow(self.gateway, activation_id, lambda nodes: 30.0)
        done.set()
        if first:
            sampler.join()
        verbs.check_ended_well(record)
        return self._rate(record["response"])

    def baseline(self) -> float:
        """Return records per second through a pipe."""
        argument = json.dumps(self._payload())
        sender = subprocess.Popen(
            [sys.executable, "-c", PIPE_SENDER, argument], stdout=subprocess.PIPE, env=environment()
        )
        receiver = subprocess.run(
            [sys.executable, "-c", PIPE_RECEIVER],
            stdin=sender.stdout,
            capture_output=True,
            check=True,
            env=environment(),
        )
        sender.wait()
        return self._rate(json.loads(receiver.stdout))

    def _payload(self) -> dict[str, object]:
        return {"file": str(RECORDS_FILE), "records": self.records, "started": str(self.root / "started")}

    def _rate(self, found: dict[str, float]) -> float:
        if found["count"] != self.records:
            raise RuntimeError(f"{found['count']} of {self.records} records arrived")
        return self.records / (found["ended"] - float((self.root / "started").read_text()))

    def _sample(self, activation_id: str, done: threading.Event) -> None:
        gateway = Gateway(self.root / ".fabric-jobs")
        while not done.wait(0.1):
            progress = gateway.get(f"/activations/{activation_id}/follow", after=2**53)["progress"]
            self.memory.append((sum(node["out"] for node in progress), owner_rss(self.root)))
        self.memory.append((self.records, owner_rss(self.root)))


def main() -> None:
    """Measure and print."""
    wanted = arguments(__doc__ or "", records=300_000)
    with workspace() as root:
        write_skill(root, "sender", SENDER)
        write_skill(root, "receiver", RECEIVER, receives="stream")
        write_agent(root, "stream", "sender", "receiver")
        with owner(root) as gateway:
            run = Run(root, gateway, wanted.records)
            pairs = measure(wanted.pairs, run.ours, run.baseline)
            after_tenth = next(kib for sent, kib in run.memory if sent >= wanted.records // 10)
            report(
                "stream",
                "records/s",
                pairs,
                "wanted >= 0.5, goal 0.9",
                as_json=wanted.json,
                records=wanted.records,
                owner_rss_ratio=round(run.memory[-1][1] / after_tenth, 3),
                owner_rss_mib=[round(after_tenth / 1024, 1), round(run.memory[-1][1] / 1024, 1)],
            )


if __name__ == "__main__":
    main()

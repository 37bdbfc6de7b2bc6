"""Records per second from one runtime skill to another, against the same two programs joined by a pipe.

Ours is durable (synchronous=FULL); the pipe is not. From the first send to the last record received. With `--executor docker` the
two skills run in containers, and the baseline is the same on the local executor.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

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
from benchmarks.containers import built, check_in_container, new_name
from fabric_jobs.client.gateway import Gateway
from fabric_jobs.workspace import run as verbs
from fabric_jobs.workspace.tree import Workspace

FILE = "flights.ndjson.gz"  # beside the sender
INVOKE = "/agentinvoke/stream/services/input"
FLIGHTS = """
import gzip, json, sys, time
from itertools import cycle, islice

def flights(records):
    with gzip.open("flights.ndjson.gz") as lines:
        loaded = [json.loads(line) for line in lines]
    loaded = list(islice(cycle(loaded), min(records, len(loaded))))
    return islice(cycle(loaded), records)
"""
SENDER = (
    FLIGHTS
    + """
from fabric_skill import message, send_message
records = flights(message()["payload"])
send_message({**next(records), "started": time.monotonic()})
for flight in records:
    send_message(flight)
"""
)
RECEIVER = """
import json, time
from fabric_skill import messages
records = messages()
started, count = next(records)["started"], 1
for flight in records:
    count += 1
print(json.dumps({"count": count, "seconds": time.monotonic() - started}))
"""
PIPE_SENDER = (
    FLIGHTS
    + """
out = open(1, "wb", buffering=65536)
records = flights(json.loads(sys.argv[-1]))
first = {**next(records), "started": time.monotonic()}
out.write(json.dumps(first).encode() + b"\\n")
for flight in records:
    out.write(json.dumps(flight).encode() + b"\\n")
out.flush()
"""
)
PIPE_RECEIVER = """
import json, sys, time
lines = open(0, "rb", buffering=65536)
started, count = json.loads(next(lines))["started"], 1
for line in lines:
    json.loads(line)
    count += 1
print(json.dumps({"count": count, "seconds": time.monotonic() - started}))
"""


class Run:
    """One benchmark run: all sides on the same records."""

    def __init__(self, root: Path, gateway: Gateway, records: int) -> None:
        self.root = root
        self.gateway = gateway
        self.records = records
        self.memory: list[tuple[int, int]] = []  # records sent, KiB; of the first local run

    def local(self) -> float:
        """Return records per second through the gateway, from process to process."""
        activation_id = self._start(INVOKE)
        if self.memory:
            return self._rate(self._end(activation_id))
        done = threading.Event()
        sampler = threading.Thread(target=self._sample, args=(activation_id, done))
        sampler.start()
        try:
            return self._rate(self._end(activation_id))
        finally:
            done.set()
            sampler.join()

    def docker(self) -> float:
        """Return records per second through the gateway, from container to container."""
        record = self._end(self._start(f"{INVOKE}?executor=docker"))
        check_in_container(record)
        return self._rate(record)

    def pipe(self) -> float:
        """Return records per second through a pipe."""
        sender = subprocess.Popen(
            [sys.executable, "-c", PIPE_SENDER, str(self.records)],
            stdout=subprocess.PIPE,
            env=environment(),
            cwd=action_of(self.root, "sender"),
        )
        receiver = subprocess.run(
            [sys.executable, "-c", PIPE_RECEIVER],
            stdin=sender.stdout,
            capture_output=True,
            check=True,
            env=environment(),
        )
        sender.wait()
        return self._rate({"response": json.loads(receiver.stdout)})

    def memory_report(self) -> dict[str, object]:
        """Return how the memory of the owner grew, from a tenth of the records to all of them."""
        early = next(kib for sent, kib in self.memory if sent >= self.records // 10)
        late = self.memory[-1][1]
        return {
            "owner_rss_ratio": round(late / early, 3),
            "owner_rss_mib": [round(early / 1024, 1), round(late / 1024, 1)],
        }

    def _start(self, path: str) -> str:
        return str(self.gateway.post(path, {"payload": self.records})["activationId"])

    def _end(self, activation_id: str) -> dict[str, Any]:
        record = verbs.follow(self.gateway, activation_id, lambda nodes: 30.0)
        verbs.check_ended_well(record)
        return record

    def _rate(self, record: dict[str, Any]) -> float:
        found = record["response"]
        if found["count"] != self.records:
            raise RuntimeError(f"{found['count']} of {self.records} records arrived")
        return self.records / float(found["seconds"])

    def _sample(self, activation_id: str, done: threading.Event) -> None:
        gateway = Gateway(self.root / ".fabric-jobs")
        while not done.wait(0.1):
            progress = gateway.get(f"/activations/{activation_id}/follow", after=2**53)["progress"]
            self.memory.append((sum(node["out"] for node in progress), owner_rss(self.root)))
        self.memory.append((self.records, owner_rss(self.root)))


def action_of(root: Path, skill: str) -> Path:
    """Return the directory of a skill's program."""
    return root / "skills" / skill / "actions" / skill


@contextmanager
def serving(executor: str, records: int) -> Iterator[Run]:
    """Have the two skills, with images where they are needed, and an owner."""
    names = {skill: new_name() for skill in ("sender", "receiver")}
    with workspace() as root, ExitStack() as stack:
        write_skill(root, "sender", SENDER, image=names["sender"])
        write_skill(root, "receiver", RECEIVER, receives="stream", image=names["receiver"])
        write_agent(root, "stream", *names)
        shutil.copy(RECORDS_FILE, action_of(root, "sender") / FILE)
        if executor == "docker":
            for skill, image in names.items():
                stack.enter_context(built(image, action_of(root, skill)))
        gateway = stack.enter_context(owner(root))
        verbs.save_agent(gateway, Workspace(root), "stream", None)
        yield Run(root, gateway, records)


def main() -> None:
    """Measure and print."""
    wanted = arguments(__doc__ or "", records=300_000, executor=("local", "docker"))
    with serving(wanted.executor, wanted.records) as run:
        if wanted.executor == "docker":
            pairs = measure(wanted.pairs, run.docker, run.local)
            report("stream docker", "records/s", pairs, "wanted >= 0.6", as_json=wanted.json, records=wanted.records)
            return
        pairs = measure(wanted.pairs, run.local, run.pipe)
        report(
            "stream",
            "records/s",
            pairs,
            "wanted >= 0.5, goal 0.9",
            as_json=wanted.json,
            records=wanted.records,
            **run.memory_report(),
        )


if __name__ == "__main__":
    main()

"""Records per second from one runtime skill to others, against the same programs joined by a pipe.

Ours is durable (synchronous=FULL); the pipes are not. From the first send to the last record received, by the last receiver.
There are two pipes: the baseline, whose ends call `json.dumps` and `json.loads`, and one with the codec of the runtime layer,
which is about what any transport could reach. With `--executor docker` the skills run in containers, and the baseline is the same
on the local executor.

The records are flights of 300 bytes, or made ones of `--size` bytes. Beside the rates: microseconds of CPU a record of the sender,
of each receiver and of the owner, and bytes that all of them have written to disk over the bytes of the records.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import statistics
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import cycle, islice
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
    write_skill,
)
from benchmarks.containers import built, check_in_container, new_name
from benchmarks.pods import check_in_pod, images_in_cluster
from fabric_jobs.client import activations
from fabric_jobs.client.gateway import Gateway
from fabric_jobs.executors.program import RUNTIME
from fabric_jobs.state_dir import read_address
from fabric_jobs.workspace import run as verbs
from fabric_jobs.workspace.tree import Workspace

FLIGHTS = 300_000  # default number of records
SIZED_BYTES = 400_000_000  # in all, with `--size`
USAGE = "usage.json"  # a program's usage, in its directory
FILE = "records.ndjson.gz"  # beside the sender
INVOKE = "/agentinvoke/stream/services/input"
# Registered before the runtime layer is imported, so that it runs after the last commit.
NOTE_USAGE = """
import atexit, json, os
def note_usage():
    with open("/proc/self/io") as file:
        written = next(int(line.split()[1]) for line in file if line.startswith("write_bytes"))
    with open("usage.json", "w") as file:
        json.dump([sum(os.times()[:2]), written], file)
atexit.register(note_usage)
"""
READ = """
import gzip, json, sys, time
from itertools import chain, cycle, islice

def read(count):
    with gzip.open("records.ndjson.gz") as lines:
        loaded = [json.loads(line) for line in lines]
    loaded = list(islice(cycle(loaded), min(count, len(loaded))))
    records = islice(cycle(loaded), count)
    return chain([{**next(records), "started": time.monotonic()}], records)
"""
SENDER = (
    NOTE_USAGE
    + READ
    + """
from fabric_skill import message, send_message
for record in read(message()["payload"]):
    send_message(record)
"""
)
RECEIVER = (
    NOTE_USAGE
    + """
import json, time
from fabric_skill import messages
records = messages()
started, count = next(records)["started"], 1
for record in records:
    count += 1
print(json.dumps({"count": count, "seconds": time.monotonic() - started}))
"""
)
PIPE = (
    READ
    + """
out = open(1, "wb", buffering=65536)
for record in read(int(sys.argv[-1])):
    out.write(json.dumps(record).encode() + b"\\n")
out.flush()
""",
    """
import json, sys, time
lines = open(0, "rb", buffering=65536)
started, count = json.loads(next(lines))["started"], 1
for line in lines:
    json.loads(line)
    count += 1
print(json.dumps({"count": count, "seconds": time.monotonic() - started}))
""",
)
CODEC_PIPE = (
    READ
    + """
from fabric_skill.records import encode
out, texts, size = open(1, "wb", buffering=0), [], 0
for record in read(int(sys.argv[-1])):
    text = encode(record)
    texts.append(text)
    size += len(text)
    if size > 65536:
        out.write(("\\n".join(texts) + "\\n").encode())
        texts, size = [], 0
out.write("".join(f"{text}\\n" for text in texts).encode())
""",
    """
import json, time
from fabric_skill.records import batches
pipe, rest, started, count = open(0, "rb", buffering=0), b"", 0, 0
while part := pipe.read(262144):
    end = part.rfind(b"\\n") + 1
    data, rest = rest + part[:end], part[end:] if end else rest + part
    for batch in batches(data if end else b""):
        for record in batch:
            started = started or record["started"]
            count += 1
print(json.dumps({"count": count, "seconds": time.monotonic() - started}))
""",
)


class Run:
    """One benchmark run: all sides on the same records."""

    def __init__(self, root: Path, gateway: Gateway, records: int, receivers: list[str]) -> None:
        self.root = root
        self.gateway = gateway
        self.records = records
        self.receivers = receivers
        self.memory: list[tuple[int, int]] = []  # (records sent, KiB) of the first local run
        self.used: list[dict[str, float]] = []  # by each local run
        self.codec_rates: list[float] = []
        self._payload_bytes = _payload_bytes(root, records)

    def local(self) -> float:
        """Return records per second through the gateway, from process to process."""
        before = self._owner_usage()
        activation_id = self._start(INVOKE)
        if self.memory:
            rate = self._rate(self._end(activation_id))
        else:
            done = threading.Event()
            sampler = threading.Thread(target=self._sample, args=(activation_id, done))
            sampler.start()
            try:
                rate = self._rate(self._end(activation_id))
            finally:
                done.set()
                sampler.join()
        self._note_usage(before)
        return rate

    def docker(self) -> float:
        """Return records per second through the gateway, from container to container."""
        record = self._end(self._start(f"{INVOKE}?executor=docker"))
        check_in_container(record)
        return self._rate(record)

    def kubernetes(self) -> float:
        """Return records per second through the gateway, from pod to pod."""
        record = self._end(self._start(f"{INVOKE}?executor=kubernetes"))
        check_in_pod(record)
        return self._rate(record)

    def pipe(self) -> float:
        """Return records per second through a pipe, and note those of the pipe with our codec."""
        self.codec_rates.append(self._pipe(*CODEC_PIPE))
        return self._pipe(*PIPE)

    def _pipe(self, sender_code: str, receiver_code: str) -> float:
        variables = {**environment(), "PYTHONPATH": os.pathsep.join((str(RUNTIME), *sys.path[:1]))}
        sender = subprocess.Popen(
            [sys.executable, "-c", sender_code, str(self.records)],
            stdout=subprocess.PIPE,
            env=variables,
            cwd=action_of(self.root, "sender"),
        )
        receiver = subprocess.run(
            [sys.executable, "-c", receiver_code], stdin=sender.stdout, capture_output=True, check=True, env=variables
        )
        sender.wait()
        return self._rate({"response": json.loads(receiver.stdout)})

    def figures(self, ours: list[float]) -> dict[str, Any]:
        """Return the medians of the other measurements, and the growth of the owner's memory."""
        early = next(kib for sent, kib in self.memory if sent >= self.records // 10)
        late = self.memory[-1][1]
        against_codec = [mine / codec for mine, codec in zip(ours, self.codec_rates, strict=True)]
        return {
            "codec_ratio": round(statistics.median(against_codec), 3),
            **{name: round(statistics.median(used[name] for used in self.used), 2) for name in self.used[0]},
            "owner_rss_ratio": round(late / early, 3),
            "owner_rss_mib": [round(early / 1024, 1), round(late / 1024, 1)],
        }

    def _owner_usage(self) -> tuple[float, int]:
        """Return the owner's seconds of CPU and bytes written."""
        address = read_address(self.root / ".fabric-jobs")
        assert address is not None
        process = Path("/proc", str(address.pid))
        ticks = process.joinpath("stat").read_text().rpartition(")")[2].split()[11:13]
        io = dict(line.split(": ") for line in process.joinpath("io").read_text().splitlines())
        return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK"), int(io["write_bytes"])

    def _note_usage(self, before: tuple[float, int]) -> None:
        after = self._owner_usage()
        programs = [
            json.loads((action_of(self.root, name) / USAGE).read_text()) for name in ("sender", *self.receivers)
        ]
        written = after[1] - before[1] + sum(written for _, written in programs)
        micro = 1e6 / self.records
        self.used.append(
            {
                "sender_us": programs[0][0] * micro,
                "receiver_us": statistics.mean(seconds for seconds, _ in programs[1:]) * micro,
                "owner_us": (after[0] - before[0]) * micro,
                "written_over_payload": written / self._payload_bytes,
            }
        )

    def _start(self, path: str) -> str:
        return str(self.gateway.post(path, {"payload": self.records})["activationId"])

    def _end(self, activation_id: str) -> dict[str, Any]:
        record = activations.follow(self.gateway, activation_id, lambda nodes: 30.0)
        activations.check_ended_well(record)
        return record

    def _rate(self, record: dict[str, Any]) -> float:
        response = record["response"]
        found = response if isinstance(response, list) else [response]
        if {each["count"] for each in found} != {self.records}:
            raise RuntimeError(f"of {self.records} records arrived: {found}")
        return self.records / max(float(each["seconds"]) for each in found)

    def _sample(self, activation_id: str, done: threading.Event) -> None:
        gateway = Gateway(self.root / ".fabric-jobs")
        while not done.wait(0.1):
            progress = gateway.get(f"/activations/{activation_id}/follow", after=2**53)["progress"]
            sent = sum(node["out"] for node in progress if node["skill"] == "sender")
            self.memory.append((sent, owner_rss(self.root)))
        self.memory.append((self.records, owner_rss(self.root)))


def action_of(root: Path, skill: str) -> Path:
    """Return the directory of a skill's program."""
    return root / "skills" / skill / "actions" / skill


def _payload_bytes(root: Path, records: int) -> int:
    with gzip.open(action_of(root, "sender") / FILE) as lines:
        sizes = [len(json.dumps(json.loads(line), separators=(",", ":"))) + 1 for line in lines]
    return sum(islice(cycle(sizes), records))


def _write_records(path: Path, size: int) -> None:
    """Write flights, or records of a given size."""
    if not size:
        shutil.copy(RECORDS_FILE, path)
        return
    with gzip.open(path, "wt", compresslevel=1) as file:
        for number in range(100, 200):
            record = {"id": number, "name": f"name {number}", "text": ""}
            record["text"] = "Some words. " * (size // 12 + 1)
            surplus = len(json.dumps(record, separators=(",", ":"))) + 1 - size
            record["text"] = str(record["text"])[: -surplus or None]
            file.write(json.dumps(record) + "\n")


def _write_agent(root: Path, receivers: list[str]) -> None:
    names = ["sender", *receivers]
    skills = "".join(f"  - skillName: {name}\n" for name in names)
    wires = "".join(f"  - {{from: sender, to: {name}}}\n  - {{from: {name}, to: output}}\n" for name in receivers)
    (root / "agents").mkdir()
    text = f"camel: 1.0.0\nname: stream\nskills:\n{skills}mappings:\n  - {{from: input, to: sender}}\n{wires}"
    (root / "agents" / "stream.yaml").write_text(text)


@contextmanager
def serving(executor: str, records: int, *, size: int = 0, consumers: int = 1) -> Iterator[Run]:
    """Yield a run with its skills, images if needed, and an owner."""
    receivers = ["receiver", *(f"receiver{number}" for number in range(2, consumers + 1))]
    images = {skill: new_name() for skill in ("sender", *receivers)}
    with workspace() as root, ExitStack() as stack:
        write_skill(root, "sender", SENDER, image=images["sender"])
        for name in receivers:
            write_skill(root, name, RECEIVER, receives="stream", image=images[name])
        _write_agent(root, receivers)
        _write_records(action_of(root, "sender") / FILE, size)
        if executor == "docker":
            for skill, image in images.items():
                stack.enter_context(built(image, action_of(root, skill)))
        if executor == "kubernetes":
            stack.enter_context(images_in_cluster({image: action_of(root, skill) for skill, image in images.items()}))
        gateway = stack.enter_context(owner(root))
        verbs.save_agent(gateway, Workspace(root), "stream", None)
        yield Run(root, gateway, records, receivers)


def _goal(size: int, consumers: int) -> str:
    if consumers > 1:
        return "wanted >= 0.62 for 3 consumers"
    return {0: "wanted >= 1.15", 100: "wanted >= 1.4", 1024: "wanted >= 0.7", 10240: "wanted >= 0.5"}.get(size, "")


def main() -> None:
    """Measure and print."""
    wanted = arguments(__doc__ or "", records=0, size=0, consumers=1, executor=("local", "docker"))
    records = wanted.records or (min(FLIGHTS, SIZED_BYTES // wanted.size) if wanted.size else FLIGHTS)
    with serving(wanted.executor, records, size=wanted.size, consumers=wanted.consumers) as run:
        facts: dict[str, Any] = {"records": records, "size": wanted.size, "consumers": wanted.consumers}
        facts["as_json"] = wanted.json
        if wanted.executor == "docker":
            pairs = measure(wanted.pairs, run.docker, run.local)
            report("stream docker", "records/s", pairs, "wanted >= 0.6", **facts)
            return
        pairs = measure(wanted.pairs, run.local, run.pipe)
        found: dict[str, Any] = run.figures([pair.ours for pair in pairs])
        report("stream", "records/s", pairs, _goal(wanted.size, wanted.consumers), **{**found, **facts})


if __name__ == "__main__":
    main()

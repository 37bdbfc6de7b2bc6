"""What the last activations of many cost, against the first ones: the owner's memory, its CPU, and the time of each.

Half of them run a job that does nothing, half call a daemon. Nothing may grow with what has ended.
"""

from __future__ import annotations

import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from benchmarks.common import arguments, owner, owner_rss, workspace, write_action, write_daemon
from fabric_jobs.client.gateway import Gateway
from fabric_jobs.state_dir import read_address
from fabric_jobs.workspace import run as verbs
from fabric_jobs.workspace.run import Target
from fabric_jobs.workspace.tree import Workspace

AT_ONCE = 4
BLOCK = 1000  # activations that are measured together
DAEMON = """
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "13")
        self.end_headers()
        self.wfile.write(b'{"payload":1}')
    def log_message(self, *words):
        pass
ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


@dataclass(frozen=True)
class Block:
    """What some activations cost."""

    rss: int  # KiB, at their end
    cpu: float  # milliseconds of the owner for each
    seconds: float  # from the first to the last


def cpu_of(root: Path) -> float:
    """Return the CPU seconds that the owner has used."""
    address = read_address(root / ".fabric-jobs")
    assert address is not None
    fields = Path(f"/proc/{address.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run(root: Path, gateways: list[Gateway], targets: tuple[Target, ...], count: int) -> Block:
    """Run some activations, a few at a time."""
    cpu, started = cpu_of(root), time.perf_counter()

    def some(number: int) -> None:
        for each in range(number, count, AT_ONCE):
            target = targets[each // AT_ONCE % len(targets)]
            activation_id = verbs.start(gateways[number], target, {"payload": each}, root)
            verbs.check_ended_well(verbs.follow(gateways[number], activation_id, lambda nodes: 30.0))

    with ThreadPoolExecutor(AT_ONCE) as threads:
        for _ in threads.map(some, range(AT_ONCE)):
            pass
    return Block(owner_rss(root), (cpu_of(root) - cpu) / count * 1000, time.perf_counter() - started)


def main() -> None:
    """Measure and print."""
    wanted = arguments(__doc__ or "", activations=20_000)
    with workspace() as root:
        keys: dict[str, object] = {"type": "job", "receives": "message", "response": "stdout", "command": ["/bin/true"]}
        write_action(root, "nothing", "", keys)
        write_daemon(root, "listens", DAEMON)
        with owner(root) as gateway:
            gateways = [Gateway(root / ".fabric-jobs") for _ in range(AT_ONCE)]
            targets = tuple(verbs.save_skill(gateway, Workspace(root), name, None) for name in ("nothing", "listens"))
            run(root, gateways, targets, BLOCK)  # what is made once
            blocks = []
            for _ in range(max(2, wanted.activations // BLOCK - 1)):
                blocks.append(run(root, gateways, targets, BLOCK))
                print(f"  {blocks[-1]}", file=sys.stderr, flush=True)
    first, last = blocks[0], blocks[-1]
    found = {
        "memory": last.rss / first.rss,
        "CPU": last.cpu / first.cpu,
        "time": last.seconds / first.seconds,
    }
    if wanted.json:
        print(
            json.dumps({"ratio": max(found.values()), "ours": last.rss, "baseline": first.rss, "unit": "KiB", **found})
        )
        return
    for name, ratio in found.items():
        print(f"growth, {name}: {ratio:.2f} x, wanted <= 1.1")
    print(f"  first: {first}\n  last: {last}\n  activations: {wanted.activations}")


if __name__ == "__main__":
    main()

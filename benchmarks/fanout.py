"""Records that get a message task each, two at a time, against `subprocess.run` of the same program, two at a time.

From the invocation to COMPLETE: every task has its rows, its log and its response. With `--batch`, a task gets so many records.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.common import arguments, environment, measure, owner, report, workspace, write_agent, write_skill
from fabric_jobs.client import activations
from fabric_jobs.client.gateway import Gateway
from fabric_jobs.client.response import ResponseReader
from fabric_jobs.workspace import run as verbs
from fabric_jobs.workspace.tree import Workspace

WORKERS = 2
SOURCE = """
from fabric_skill import message, send_message
for n in range(message()["payload"]):
    send_message(n)
"""
PROGRAM = """
import json, sys
message = json.loads(sys.argv[-1])
print(message["payload"])
"""

BATCH = """
import json, sys
for each in json.loads(sys.argv[-1])["payload"]:
    print(each)
"""


def ours(root: Path, gateway: Gateway, records: int) -> float:
    """Return milliseconds per record."""
    target = verbs.save_agent(gateway, Workspace(root), "fanout", None)
    started = time.perf_counter()
    activation_id = verbs.start(gateway, target, {"payload": records}, root)
    record = activations.follow(gateway, activation_id, lambda nodes: 30.0)
    took = time.perf_counter() - started
    activations.check_ended_well(record)
    parts = b"".join(ResponseReader(gateway, activation_id).parts())
    if sorted(map(json.loads, parts.splitlines())) != list(range(records)):
        raise RuntimeError("the response is not one answer for each record")
    return took / records * 1000


def baseline(program: Path, message: str, records: int) -> float:
    """Return milliseconds per bare process."""

    def once(_: int) -> None:
        subprocess.run(
            [sys.executable, str(program), message], check=True, stdout=subprocess.DEVNULL, env=environment()
        )

    started = time.perf_counter()
    with ThreadPoolExecutor(WORKERS) as threads:
        for _ in threads.map(once, range(records)):
            pass
    return (time.perf_counter() - started) / records * 1000


def main() -> None:
    """Measure and print."""
    wanted = arguments(__doc__ or "", records=3000, warm=False, batch=0, processes=3000)
    message = {"activationId": "x" * 24, "payload": 0, "properties": {}, "headers": {}, "token": "x" * 300}
    with workspace() as root:
        write_skill(root, "source", SOURCE)
        if wanted.batch:
            keys = {"workers": WORKERS, "warm": wanted.warm, "batch": {"size": wanted.batch}}
            write_skill(root, "each", BATCH, receives="batch", response="jsonl", **keys)
        else:
            write_skill(root, "each", PROGRAM, workers=WORKERS, warm=wanted.warm)
        write_agent(root, "fanout", "source", "each")
        program = root / "one.py"
        program.write_text(PROGRAM)
        with owner(root) as gateway:
            pairs = measure(
                wanted.pairs,
                lambda: ours(root, gateway, wanted.records),
                lambda: baseline(program, json.dumps(message), min(wanted.records, wanted.processes)),
            )
    goal = "wanted <= 0.03" if wanted.batch else "wanted <= 0.25" if wanted.warm else "wanted <= 1.2"
    report("fanout", "ms/record", pairs, goal, as_json=wanted.json, records=wanted.records)


if __name__ == "__main__":
    main()

"""No-op job tasks one after the other, submit to COMPLETE, against `subprocess.run` of the same program.

With --warm they are forked from a template process, against a bare loop of fork, exit and wait where the same is loaded.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.common import arguments, environment, measure, owner, report, usage, workspace, write_skill
from fabric_jobs.client.gateway import Gateway

PROGRAM = """
import json, sys
message = json.loads(sys.argv[-1])
print("Received:", message["payload"])
"""
# Loads what a template process has loaded, and only forks.
FORKS = """
import contextlib, ctypes, gc, io, json, os, select, signal, socket, sys, time
gc.freeze()
started = time.perf_counter()
for _ in range(int(sys.argv[1])):
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)
print((time.perf_counter() - started) / int(sys.argv[1]) * 1000)
"""


def ours(gateway: Gateway, tasks: int) -> float:
    """Return milliseconds per task: state, logs and response stored."""
    started = time.perf_counter()
    for number in range(tasks):
        record = gateway.post("/skillinvoke/noop/inputs/request?sync=true", {"payload": number})
        if record["response"] != f"Received: {number}\n":
            raise RuntimeError(f"not the response of task {number}: {record}")
    return (time.perf_counter() - started) / tasks * 1000


def baseline(program: Path, message: str, tasks: int) -> float:
    """Return milliseconds per bare process."""
    started = time.perf_counter()
    for _ in range(tasks):
        subprocess.run(
            [sys.executable, str(program), message], check=True, stdout=subprocess.DEVNULL, env=environment()
        )
    return (time.perf_counter() - started) / tasks * 1000


def forks(tasks: int) -> float:
    """Return milliseconds per bare fork."""
    words = [sys.executable, "-c", FORKS, str(tasks)]
    return float(subprocess.run(words, check=True, capture_output=True, text=True, env=environment()).stdout)


def main() -> None:
    """Measure and print."""
    wanted = arguments(__doc__ or "", tasks=300, warm=False)
    with workspace() as root:
        write_skill(root, "noop", PROGRAM, response="stdout", warm=wanted.warm)
        source = root / "skills" / "noop"
        program = source / "actions" / "noop" / "main.py"
        with owner(root) as gateway:
            import yaml

            document = yaml.safe_load((source / "skill.yaml").read_text())
            gateway.post("/skills", document, headers={"x-fabric-source": str(source)})
            record = gateway.post("/skillinvoke/noop/inputs/request?sync=true", {"payload": 0})
            message = json.dumps(
                {key: record[key] for key in ("activationId", "payload", "properties", "headers")}
                | {
                    "token": "x" * 300,
                    "apiEndpoint": "http://127.0.0.1:8000/px",
                    "channelId": "x" * 24,
                }
            )
            before = usage(root).commits
            pairs = measure(
                wanted.pairs,
                lambda: ours(gateway, wanted.tasks),
                lambda: forks(wanted.tasks) if wanted.warm else baseline(program, message, wanted.tasks),
            )
            commits = (usage(root).commits - before) / (wanted.tasks * wanted.pairs)
    more = {"tasks": wanted.tasks, "transactions for each": commits}
    goal = "wanted <= 2" if wanted.warm else "wanted <= 1.15"
    report("dispatch", "ms/task", pairs, goal, as_json=wanted.json, **more)


if __name__ == "__main__":
    main()

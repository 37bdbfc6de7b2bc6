"""One record through 40 skills, from the invocation to COMPLETE, against 40 bare processes one after the other."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.common import (
    arguments,
    environment,
    measure,
    owner,
    report,
    usage,
    workspace,
    write_agent,
    write_skill,
)
from fabric_jobs.client import activations
from fabric_jobs.client.gateway import Gateway
from fabric_jobs.workspace import run as verbs
from fabric_jobs.workspace.run import EntryPoint
from fabric_jobs.workspace.tree import Workspace

PROGRAM = """
import json, sys
message = json.loads(sys.argv[-1])
print(message["payload"] + 1)
"""


def ours(root: Path, gateway: Gateway, target: EntryPoint, skills: int) -> float:
    """Return the milliseconds of one record."""
    started = time.perf_counter()
    activation_id = verbs.start(gateway, target, {"payload": 0}, root)
    record = activations.follow(gateway, activation_id, lambda nodes: 30.0)
    took = time.perf_counter() - started
    activations.check_ended_well(record)
    if record["response"] != skills:
        raise RuntimeError(f"not every skill has added one: {record}")
    return took * 1000


def baseline(program: Path, skills: int) -> float:
    """Return the milliseconds of `skills` bare processes."""
    message = {"activationId": "x" * 24, "payload": 0, "properties": {}, "headers": {}, "token": "x" * 300}
    command = [sys.executable, str(program), json.dumps(message)]
    started = time.perf_counter()
    for _ in range(skills):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment())
    return (time.perf_counter() - started) * 1000


def main() -> None:
    """Measure and print."""
    wanted = arguments(__doc__ or "", skills=40, warm=False)
    names = [f"skill-{number}" for number in range(wanted.skills)]
    with workspace() as root:
        for name in names:
            write_skill(root, name, PROGRAM, warm=wanted.warm)
        write_agent(root, "chain", *names)
        program = root / "skills" / names[0] / "actions" / names[0] / "main.py"
        with owner(root) as gateway:
            target = verbs.save_agent(gateway, Workspace(root), "chain", None)
            ours(root, gateway, target, wanted.skills)  # warm up
            before = usage(root).commits
            pairs = measure(
                wanted.pairs,
                lambda: ours(root, gateway, target, wanted.skills),
                lambda: baseline(program, wanted.skills),
            )
            commits = (usage(root).commits - before) / (wanted.skills * wanted.pairs)
    goal = "wanted <= 0.3" if wanted.warm else "wanted <= 1.2"
    more = {"skills": wanted.skills, "transactions for each": commits}
    report("chain", "ms", pairs, goal, as_json=wanted.json, **more)


if __name__ == "__main__":
    main()

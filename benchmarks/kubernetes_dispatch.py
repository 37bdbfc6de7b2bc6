"""No-op job tasks in pods, one after the other, submit to COMPLETE, against bare Jobs of the same image and command.

`--warm`: the tasks are forked in the pod of a pool that is there, and the program is Python's `pass`.

A bare Job is created, and has ended when its Complete condition is seen by a watch: what waits on Jobs has to wait for that.
The gateway reads the end from the pod's container status.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from benchmarks.common import arguments, measure, owner, report, workspace, write_skill
from benchmarks.containers import base_image
from benchmarks.pods import asked, check_in_pod, namespace, run_bare_jobs
from fabric_jobs.client import activations
from fabric_jobs.client.gateway import Gateway

COMMAND = ["/bin/true"]
FORKED = ["python3", "-c", "pass"]
INVOKE = "/skillinvoke/noop/inputs/request?executor=kubernetes"


def ours(gateway: Gateway, tasks: int) -> float:
    """Return milliseconds per task: state, logs and response stored."""
    started = time.perf_counter()
    for number in range(tasks):
        activation_id = gateway.post(INVOKE, {"payload": number})["activationId"]
        check_in_pod(activations.follow(gateway, activation_id, lambda nodes: 30.0))
    return (time.perf_counter() - started) / tasks * 1000


def baseline(tasks: int, command: list[str]) -> float:
    """Return milliseconds per bare Job."""
    started = time.perf_counter()
    run_bare_jobs(base_image(), command, tasks)
    return (time.perf_counter() - started) / tasks * 1000


def save(gateway: Gateway, root: Path, *, warm: bool) -> None:
    """Save the skill that does nothing."""
    command = FORKED if warm else COMMAND
    write_skill(root, "noop", "", response="stdout", image=base_image(), command=command, warm=warm)
    source = root / "skills" / "noop"
    gateway.post("/skills", json.loads((source / "skill.yaml").read_text()), headers={"x-fabric-source": str(source)})


def main() -> None:
    """Measure and print."""
    wanted = arguments(__doc__ or "", tasks=10, warm=False)
    if wanted.warm:
        os.environ["FABRIC_JOBS_KUBERNETES_POOL_SECONDS"] = "600"  # the pod stays while bare Jobs are measured
    command = FORKED if wanted.warm else COMMAND
    with workspace() as root, namespace(), owner(root) as gateway:
        save(gateway, root, warm=wanted.warm)
        ours(gateway, 1)
        before = asked(root)
        pairs = measure(wanted.pairs, lambda: ours(gateway, wanted.tasks), lambda: baseline(wanted.tasks, command))
        requests = (asked(root) - before) / (wanted.pairs * wanted.tasks)
    facts = {"tasks": wanted.tasks, "api_requests_per_task": round(requests, 2)}
    name, goal = (
        ("kubernetes_dispatch:warm", "wanted <= 0.05") if wanted.warm else ("kubernetes_dispatch", "wanted <= 0.5")
    )
    report(name, "ms/task", pairs, goal, as_json=wanted.json, **facts)


if __name__ == "__main__":
    main()

"""No-op job tasks in containers, one after the other, submit to COMPLETE, against `docker run --rm` of the same.

The same image, command and network mode: the network is looked up at the engine, by what the first task was connected to.
"""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

from benchmarks.common import arguments, measure, owner, report, workspace, write_skill
from benchmarks.containers import check_in_container, network_of, tagged
from fabric_jobs.client import activations
from fabric_jobs.client.gateway import Gateway

COMMAND = "/bin/true"
INVOKE = "/skillinvoke/noop/inputs/request?executor=docker"


def ours(gateway: Gateway, tasks: int) -> float:
    """Return milliseconds per task: state, logs and response stored."""
    started = time.perf_counter()
    for number in range(tasks):
        activation_id = gateway.post(INVOKE, {"payload": number})["activationId"]
        check_in_container(activations.follow(gateway, activation_id, lambda nodes: 30.0))
    return (time.perf_counter() - started) / tasks * 1000


def baseline(image: str, network: str, tasks: int) -> float:
    """Return milliseconds per bare container."""
    command = ["docker", "run", "--rm", "--network", network, image, COMMAND, '{"payload": 0}']
    started = time.perf_counter()
    for _ in range(tasks):
        subprocess.run(command, check=True, capture_output=True)
    return (time.perf_counter() - started) / tasks * 1000


def save(gateway: Gateway, root: Path, image: str) -> None:
    """Save the skill that does nothing."""
    write_skill(root, "noop", "", response="stdout", image=image, command=[COMMAND])
    source = root / "skills" / "noop"
    gateway.post("/skills", json.loads((source / "skill.yaml").read_text()), headers={"x-fabric-source": str(source)})


def main() -> None:
    """Measure and print."""
    wanted = arguments(__doc__ or "", tasks=20)
    with workspace() as root, tagged() as image, owner(root) as gateway:
        save(gateway, root, image)
        since = time.time()
        ours(gateway, 1)
        network = network_of(image, since, time.time())
        pairs = measure(
            wanted.pairs,
            lambda: ours(gateway, wanted.tasks),
            lambda: baseline(image, network, wanted.tasks),
        )
    report(
        "docker_dispatch", "ms/task", pairs, "wanted <= 1.1", as_json=wanted.json, tasks=wanted.tasks, network=network
    )


if __name__ == "__main__":
    main()

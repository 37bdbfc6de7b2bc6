"""Many workers and tasks against an API server in memory: what the gateway asks, hears and writes, and where it saturates.

The gateway is the real one. The API server (`tests.kubernetes_api`) is a process of its own whose pods take the times of a real
node, run nothing, and send their output to the gateway as the runtime layer does. See docs/explanation/scale.md.
The ratio is tasks per second over what the workers alone would allow.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.common import Usage, arguments, owner, usage, workspace, write_agent
from fabric_jobs.client import activations
from fabric_jobs.workspace import run as verbs
from fabric_jobs.workspace.tree import Workspace
from tests.kubernetes_api.cluster import Pace
from tests.kubernetes_api.server import write_kubeconfig

IMAGE = "example.org/nothing:1"
CHECKOUT = Path(__file__).parent.parent


@contextmanager
def api_server(tasks: int, workers: int, seconds: int) -> Iterator[str]:
    """Serve the API in a process of its own; yield its address."""
    words = ["--seconds", str(seconds), "--room", str(workers + 1), "--lines", str(tasks)]
    command = [sys.executable, "-m", "tests.kubernetes_api.server", *words]
    process = subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def write_skills(root: Path, workers: int) -> None:
    """Write a skill whose lines are messages, and one that takes each of them."""
    each = {"receives": "message", "workers": workers, "response": "json"}
    for name, keys in (("source", {"response": "jsonl"}), ("each", each)):
        directory = root / "skills" / name
        directory.mkdir(parents=True)
        target = {"action": name, "runtime": "cortex/jobs", "output": "response"}
        document = {
            "camel": "1.0.0",
            "name": name,
            "inputs": [{"name": "request", "routing": {"all": target}}],
            "outputs": [{"name": "response"}],
            "actions": [{"name": name, "type": "job", "image": IMAGE, "command": ["python3", "main.py"], **keys}],
        }
        (directory / "skill.yaml").write_text(json.dumps(document))  # JSON is YAML
    write_agent(root, "many", "source", "each")


def figures(url: str) -> dict[str, Any]:
    """Return what the API server counted."""
    with urllib.request.urlopen(f"{url}/counts") as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def shown(tasks: int, seconds: float, before: Usage, after: Usage, found: dict[str, Any]) -> dict[str, Any]:
    """Return the figures per task and per second."""
    requests: dict[str, int] = found["requests"]
    cpu = after.cpu - before.cpu
    return {
        "tasks_per_second": round(tasks / seconds, 1),
        "pods_at_a_time": found["most_pods"],
        "api_requests_per_task": round(sum(requests.values()) / tasks, 2),
        "api_requests": dict(sorted(requests.items(), key=lambda item: -item[1])),
        "watch_bytes_per_task": round(found["watch_bytes"] / tasks),
        "commits_per_task": round((after.commits - before.commits) / tasks, 2),
        "commits_per_second": round((after.commits - before.commits) / seconds, 1),
        "owner_cpu_ms_per_task": round(cpu / tasks * 1000, 2),
        "owner_cpu_cores": round(cpu / seconds, 2),
        "owner_rss_mib": round(after.rss / 1024),
        "owner_threads": after.threads,
        "owner_descriptors": after.descriptors,
        "shipped_in_vain": found["shipped_in_vain"],
    }


def main() -> None:
    """Measure and print."""
    wanted = arguments(__doc__ or "", tasks=10_000, workers=1000, seconds=10)
    port = free_port()
    with workspace() as root, api_server(wanted.tasks, wanted.workers, wanted.seconds) as url:
        write_skills(root, wanted.workers)
        variables = {
            "KUBECONFIG": str(write_kubeconfig(root / "kubeconfig", url)),
            "FABRIC_JOBS_KUBERNETES_NAMESPACE": "default",
            "FABRIC_JOBS_ADVERTISE": f"http://127.0.0.1:{port}",
            "FABRIC_JOBS_SLOTS": f"kubernetes={wanted.workers + 1}",
        }
        os.environ.pop("FABRIC_JOBS_KUBERNETES_CONTEXT", None)
        with owner(root, "--port", str(port), **variables) as gateway:
            target = verbs.save_agent(gateway, Workspace(root), "many", None, executor="kubernetes")
            before, started = usage(root), time.perf_counter()
            activation_id = verbs.start(gateway, target, {"payload": None}, root)
            record = activations.follow(gateway, activation_id, lambda nodes: 30.0)
            seconds = time.perf_counter() - started
            activations.check_ended_well(record)
            facts = shown(wanted.tasks, seconds, before, usage(root), figures(url))
    pace = Pace()
    ideal = wanted.workers / (wanted.seconds + pace.schedule + pace.start + pace.notice)
    rate = wanted.tasks / seconds
    result = {"ratio": rate / ideal, "ours": rate, "baseline": ideal, "unit": "tasks/s", **facts}
    if wanted.json:
        print(json.dumps(result))
        return
    print(
        f"kubernetes_scale: {rate:.1f} tasks/s of {ideal:.1f} that {wanted.workers:,} workers allow, in {seconds:.0f}s"
    )
    for name, value in facts.items():
        print(f"  {name}: {value}")


if __name__ == "__main__":
    main()

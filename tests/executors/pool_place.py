"""An executor in a cluster without a cluster, and the pods of its pools, which the test plays."""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from fabric_jobs.executors.base import AttemptSpec, ProcessSpec
from fabric_jobs.executors.kubernetes import KubernetesExecutor
from fabric_jobs.executors.kubernetes.pool_manifest import POOL
from fabric_jobs.executors.kubernetes.proof import LABEL as PROBE
from tests.acceptance.live import until
from tests.kubernetes_api.cluster import Pod, Program
from tests.kubernetes_api.server import Running, serving

NEVER = math.inf
JOB = "batch.kubernetes.io/job-name"


class Advertised:
    """The doors of a gateway that nobody calls: the test does."""

    socket = ""
    advertised = url = "http://127.0.0.1:9"

    def listen(self, host: str) -> str:
        """Not needed."""
        raise NotImplementedError

    def share(self) -> Path:
        """Not needed."""
        raise NotImplementedError


async def waiting(pod: Pod) -> int:
    """Run until it is asked to end; then end as a pool's pod does."""
    await pod.asked.wait()
    return 0


async def well(pod: Pod) -> int:
    """End at once, as a probe does that finds the gateway."""
    return 0


class Programs:
    """What pods run, by their kind."""

    def __init__(self) -> None:
        self.pool: Program = waiting
        self.cold: Program = waiting
        self.probe: Program = well

    async def __call__(self, pod: Pod) -> int:
        """Run, and return an exit code."""
        labels = pod.body["metadata"]["labels"]
        return await (self.probe if PROBE in labels else self.pool if POOL in labels else self.cold)(pod)


class Place:
    """An executor, and the pods of its pools."""

    def __init__(self, root: Path, cluster: Running, programs: Programs) -> None:
        self.root = root
        self.cluster = cluster
        self.programs = programs
        self.executor = KubernetesExecutor(root, Advertised())

    def start(self, name: str = "a-1", **changes: Any) -> str:
        """Start an attempt."""
        return self.executor.start(spec(name, **changes))

    def pods(self) -> list[dict[str, Any]]:
        """Return the pods of pools that run."""
        return [each for each in self.running() if POOL in each["metadata"]["labels"]]

    def running(self) -> list[dict[str, Any]]:
        """Return the pods that run, but for probes."""
        found = [each for each in self.every("pods") if PROBE not in each["metadata"]["labels"]]
        return [each for each in found if (each.get("status") or {}).get("phase") == "Running"]

    def pod(self) -> dict[str, Any]:
        """Wait for a pod, and return it."""
        return until(self.pods, "a pod runs")[0]

    def take(self, attempt: str = "", grace: float = NEVER, *, pod: Any = None, who: str = "i") -> Future[Any]:
        """Ask for an order, as a pod does."""
        metadata = (pod or self.pod())["metadata"]
        pool, caller = metadata["labels"][POOL], (metadata["labels"][JOB], who)
        return self.executor.ask_pools(lambda pools: pools.take(pool, caller, attempt, grace))

    def end(self, attempt: str, code: int = 0, *, is_oom: bool = False, pod: Any = None) -> None:
        """Report an end, as a pod does."""
        metadata = (pod or self.pod())["metadata"]
        pool, caller = metadata["labels"][POOL], (metadata["labels"][JOB], "i")
        self.executor.ask_pools(lambda pools: pools.ended(pool, caller, attempt, code, is_oom=is_oom)).result(30)

    def other(self, pod: dict[str, Any]) -> dict[str, Any]:
        """Wait for a pod other than one, and return it."""
        name = pod["metadata"]["name"]
        return until(lambda: [each for each in self.pods() if each["metadata"]["name"] != name], "another pod runs")[0]

    def change(self, pod: dict[str, Any], patch: dict[str, Any]) -> None:
        """Change a pod, as the cluster does."""
        name = pod["metadata"]["name"]
        self.cluster.call(lambda server: server.objects.change("pods", "default", name, patch))

    def doing(self, handle: str, doing: str) -> None:
        """Wait until an attempt says what it waits for."""
        until(lambda: self.executor.note(handle).doing == doing, f"it says '{doing}'")

    def kill(self) -> None:
        """Replace the executor by that of another process."""
        self.executor.close()
        self.executor = KubernetesExecutor(self.root, Advertised())

    def left(self) -> list[str]:
        """Return the Jobs and Secrets that there are."""
        return [each["metadata"]["name"] for kind in KINDS for each in self.every(kind)]

    def every(self, kind: str) -> list[dict[str, Any]]:
        """Return the objects of a kind."""
        return self.cluster.call(lambda server: server.objects.every(kind, "default"))


KINDS = ("jobs", "secrets", "pods")


def spec(name: str = "a-1", **changes: Any) -> AttemptSpec:
    """Return a spec that fits a pool."""
    given = {
        "directory": None,
        "command": ("python3", "main.py"),
        "arguments": (f"message of {name}",),
        "image": "image:1",
        "warm": (),
        "environment": {"MODE": "x", "CORTEX_TOKEN": f"token of {name}", "FABRIC_JOBS_ATTEMPT": name},
        **changes,
    }
    return AttemptSpec(name=name, processes=(ProcessSpec(**given),), labels={"skill": "s", "action": "a", "task": name})


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    programs = Programs()
    with serving(programs) as cluster:
        monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig(tmp_path / "config")))
        made = Place(tmp_path / "state" / "attempts", cluster, programs)
        made.root.mkdir(parents=True)
        yield made
        made.executor.close()


def name_of(said: Future[Any]) -> str:
    return str(said.result(30)["order"]["name"])

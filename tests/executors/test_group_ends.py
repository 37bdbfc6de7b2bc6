"""Ends of attempts of several containers, against an API server in memory. The test plays the containers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fabric_jobs.errors import InvalidInput
from fabric_jobs.executors.attempt_files import shipped
from fabric_jobs.executors.base import OUT_OF_MEMORY, REFUSED, AttemptExit, AttemptSpec, Health, ProcessSpec
from fabric_jobs.executors.kubernetes import KubernetesExecutor, group_output
from tests.acceptance.live import until
from tests.executors.kubernetes_driver import spec_of
from tests.kubernetes_api.cluster import Pod
from tests.kubernetes_api.objects import Object, Refused, now
from tests.kubernetes_api.server import Running, serving

NAMESPACE = "default"
API = "api"
KEPT = Refused(400, "BadRequest", 'admission webhook "policy" denied the request: this pod is kept')


def group() -> AttemptSpec:
    """Return the spec of a worker and an API whose liveness is checked."""
    spec = spec_of("worker", image="python:3")
    check = Health(("true",), delay=0, period=1, timeout=1, failures=1)
    api = ProcessSpec(directory=None, image="api:1", command=("serve",), name=API, health=check)
    return replace(spec, processes=(*spec.processes, api), shared=("/mnt",))


class Containers:
    """The containers of a pod. They run until they are told to end; deaf ones until they are killed."""

    def __init__(self) -> None:
        self.are_deaf = False

    async def __call__(self, pod: Pod) -> int:
        """Run, and return the exit code of the API."""
        pod.set(worker({"running": {"startedAt": now()}}))
        await (pod.killed if self.are_deaf else pod.asked).wait()
        return 143


def worker(state: Object, before: Object | None = None) -> Object:
    """Return the status of a pod as far as it is about the worker."""
    return {"initContainerStatuses": [{"name": "program", "state": state, "lastState": before or {}, "ready": True}]}


def ended(code: int, reason: str = "Error") -> Object:
    return {"terminated": {"exitCode": code, "reason": reason, "finishedAt": now()}}


class Place:
    """An executor with one attempt."""

    def __init__(self, root: Path, cluster: Running, containers: Containers) -> None:
        self.cluster = cluster
        self.containers = containers
        self.executor = KubernetesExecutor(root)
        self.handle = ""

    def start(self) -> None:
        """Start it, and wait until it runs."""
        self.handle = self.executor.start(group())
        (Path(self.handle) / shipped.WHOLE).touch()  # all output of the worker has been sent
        until(lambda: self.pods() and "initContainerStatuses" in self.pods()[0]["status"], "it runs")

    def pods(self) -> list[Object]:
        """Return the pods that there are."""
        return self.cluster.call(lambda server: server.objects.every("pods", NAMESPACE))

    def set(self, status: Object) -> None:
        """Change the status of the pod."""
        (name,) = (pod["metadata"]["name"] for pod in self.pods())
        self.cluster.call(lambda server: server.node.pods[NAMESPACE, name].set(status))

    def end_worker(self, code: int) -> None:
        """Let the worker end; the cluster starts it again."""
        self.set(worker({"running": {"startedAt": now()}}, ended(code)))

    def end_api(self, code: int, reason: str = "Error") -> None:
        """Let the API end."""
        self.set({"containerStatuses": [{"name": API, "state": ended(code, reason)}]})

    def say(self, reason: str, message: str) -> None:
        """Let the cluster say something of the API."""
        about = {"uid": self.pods()[0]["metadata"]["uid"], "fieldPath": f"spec.containers{{{API}}}"}
        event = {"involvedObject": about, "reason": reason, "message": message}
        self.cluster.call(lambda server: server.objects.create("events", NAMESPACE, {"metadata": {}, **event}))

    def exit(self) -> AttemptExit:
        """Return its exit."""
        return until(lambda: self.executor.poll(self.handle), "it has ended")

    def said(self) -> str:
        """Return its stderr."""
        return (Path(self.handle) / "stderr").read_text()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setattr(group_output, "OPEN_SECONDS", 0.0)
    containers = Containers()
    with serving(containers) as cluster:
        monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig(tmp_path / "config")))
        monkeypatch.setenv("FABRIC_JOBS_KUBERNETES_NAMESPACE", NAMESPACE)
        made = Place(tmp_path / "attempts", cluster, containers)
        yield made
        made.executor.close()


def test_one_whose_pods_do_not_reach_the_gateway_is_refused_and_its_pod_is_gone(place: Place) -> None:
    place.start()
    controller = place.executor._controller

    def fail() -> None:
        site = controller._opened()
        site.route.failure = InvalidInput("a pod cannot reach this gateway.")
        controller._weigh()

    place.executor._loop.post(fail)
    assert place.exit() == AttemptExit(None, REFUSED, "a pod cannot reach this gateway.")
    until(lambda: not place.pods(), "its pod is gone")


def test_the_exit_of_the_first_counts_when_the_cluster_refuses_to_delete_the_pod(place: Place) -> None:
    place.start()
    place.cluster.faults.answers["delete", "pods"] = KEPT
    place.end_worker(0)
    assert place.exit() == AttemptExit(0)


def test_one_whose_pod_cannot_be_deleted_is_refused_when_it_is_stopped(place: Place) -> None:
    place.start()
    place.cluster.faults.answers["delete", "pods"] = KEPT
    place.executor.stop(place.handle, 5)
    found = place.exit()
    assert (found.reason, "this pod is kept" in found.cause) == (REFUSED, True)


def test_a_shorter_grace_period_reaches_those_that_are_ending(place: Place) -> None:
    place.containers.are_deaf = True
    place.start()
    place.end_worker(5)

    def grace() -> Any:
        return place.pods()[0]["metadata"].get("deletionGracePeriodSeconds")

    until(lambda: grace() == 10, "the others are asked to end")
    place.executor.stop(place.handle, 0)
    until(lambda: grace() == 1, "they have less time")
    until(lambda: (Path(place.handle) / shipped.KILL).exists(), "the launcher kills its program")
    assert place.exit().code == 5


# Liveness

KILLED = "container 'api' is killed: its liveness probe fails\n"


@pytest.mark.parametrize("message", [f"Container {API} failed liveness probe", f"Stopping container {API}"])
@pytest.mark.parametrize("code", [0, 137, 143])
def test_one_that_the_cluster_has_killed_was_not_well_whatever_its_exit_code_is(
    place: Place, code: int, message: str
) -> None:
    place.start()
    place.say("Unhealthy", "Liveness probe failed: exit 1")
    place.say("Killing", message)
    place.end_api(code)
    assert (place.exit(), place.said()) == (AttemptExit(137), KILLED)


@pytest.mark.parametrize(
    ("code", "reason", "found"),
    [(137, "OOMKilled", AttemptExit(137, OUT_OF_MEMORY)), (143, "Error", AttemptExit(143))],
)
def test_one_that_was_unwell_once_ends_for_its_own_reason(
    place: Place, code: int, reason: str, found: AttemptExit
) -> None:
    place.start()
    place.say("Unhealthy", "Liveness probe failed: exit 1")
    place.end_api(code, reason)
    assert (place.exit(), place.said()) == (found, "")

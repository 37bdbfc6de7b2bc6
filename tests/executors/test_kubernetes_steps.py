"""Steps of attempts that go wrong halfway, and what they ask meanwhile; the cluster is an API server in memory."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fabric_jobs.executors import kubernetes, probe
from fabric_jobs.executors.attempt_files import shipped
from fabric_jobs.executors.attempt_files.exits import read_exit, write_exit
from fabric_jobs.executors.base import REFUSED, STOPPED, AttemptExit
from fabric_jobs.executors.kubernetes import KubernetesExecutor, carried, events, salvage, state
from fabric_jobs.executors.kubernetes.backoff import Backoff
from fabric_jobs.executors.kubernetes.proof import LABEL as PROBE
from fabric_jobs.kubernetes.informer import Informer
from tests.acceptance.live import until
from tests.executors.kubernetes_driver import spec_of
from tests.executors.pool_place import Advertised
from tests.kubernetes_api.cluster import Pace, Pod
from tests.kubernetes_api.server import Running, serving

KINDS = ("jobs", "deployments", "services", "secrets", "pods")
NEVER = 1e6  # seconds


class Place:
    """An executor, and the cluster that it uses."""

    def __init__(self, root: Path, cluster: Running, *, doors: Advertised | None = None) -> None:
        self.cluster = cluster
        self.executor = KubernetesExecutor(root, doors)

    def start(self, name: str = "a-1", **changes: Any) -> str:
        """Start an attempt of one program."""
        return self.executor.start(spec_of("/bin/true", name=name, **{"image": "image:1", **changes}))

    def every(self, kind: str) -> list[dict[str, Any]]:
        """Return the objects of a kind."""
        return self.cluster.call(lambda server: server.objects.every(kind, "default"))

    def runs(self, name: str = "a-1") -> bool:
        """Return whether the pod of an attempt runs."""
        notes = [
            pod["metadata"]["annotations"]
            for pod in self.every("pods")
            if pod.get("status", {}).get("phase") == "Running"
        ]
        return any(each.get("fabric-jobs/attempt") == name for each in notes)

    def left(self) -> list[str]:
        """Return the names of what there is."""
        return [f"{kind}/{each['metadata']['name']}" for kind in KINDS for each in self.every(kind)]

    def asked(self, what: str) -> int:
        """Return how often something was asked."""
        return self.cluster.call(lambda server: server.asked[what])


def end_of(handle: str) -> AttemptExit:
    """Wait for a recorded end, without asking the executor, which would look after the attempt again."""
    return until(lambda: read_exit(Path(handle)), "its end is recorded")


async def patient(pod: Pod) -> int:
    """Run until it is asked to end."""
    await pod.asked.wait()
    return 9


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(salvage, "SENT_SECONDS", 0.0)
    monkeypatch.setattr(carried, "AGAIN_SECONDS", 0.05)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    with serving(patient) as cluster:
        monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig(tmp_path / "config")))
        made = Place(tmp_path / "state" / "attempts", cluster)
        yield made
        made.executor.close()


# Ends


def test_an_end_that_cannot_be_stored_is_stored_later(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    failures = [OSError(errno.ENOSPC, "No space left on device") for _ in range(2)]

    def full(*words: Any) -> None:
        if failures:
            raise failures.pop()
        write_exit(*words)

    monkeypatch.setattr(state, "write_exit", full)
    found = end_of(place.start(image=""))  # which can never start
    assert found.reason == REFUSED
    assert failures == []


def test_a_program_may_end_with_the_code_of_one_that_cannot_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unable(pod: Pod) -> int:
        return 0 if PROBE in pod.body["metadata"]["labels"] else 125

    with serving(unable) as cluster:
        monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig(tmp_path / "config")))
        place = Place(tmp_path / "state" / "attempts", cluster)
        handle = place.start()
        assert end_of(handle) == AttemptExit(125)
        assert not (Path(handle) / state.PLAIN).exists()  # it was started once
        place.executor.close()


# Stops


def test_a_stop_before_its_job_is_complete_ends_the_pod_first(place: Place) -> None:
    place.executor.inside("a-1")  # after this, rights are not checked again
    place.cluster.faults.denied.add(("patch", "secrets"))
    handle = place.start()
    until(place.runs, "its pod runs, although its Secret is not the Job's yet")
    place.executor.stop(handle, 5.0)
    assert end_of(handle) == AttemptExit(9, STOPPED)  # as its program did
    until(lambda: not place.left(), "nothing is left")


def test_a_stop_before_its_deployment_is_complete_deletes_what_there_is(place: Place) -> None:
    place.executor.inside("a-1")
    place.cluster.faults.denied.add(("create", "services"))
    spec = spec_of("/bin/true", image="image:1", port=8080)
    handle = place.executor.start(replace(spec, replicas=1))
    until(lambda: place.every("deployments"), "there is a Deployment")
    place.executor.stop(handle, 5.0)
    assert end_of(handle) == AttemptExit(143, STOPPED)
    assert place.left() == []


def test_a_stop_before_anything_was_made_ends_it_at_once(place: Place) -> None:
    place.executor.inside("a-1")
    place.cluster.faults.denied |= {("create", "secrets"), ("get", "jobs")}
    handle = place.start()
    place.executor.stop(handle, 5.0)
    assert end_of(handle) == AttemptExit(143, STOPPED)


# Requests


def test_a_question_is_asked_less_and_less_often() -> None:
    backoff = Backoff(2.0)
    assert not backoff.is_on
    assert [backoff.left(now) for now in (100.0, 101.0, 102.0)] == [2.0, 1.0, 0.0]
    assert [backoff.asked(102.0) for _ in range(6)] == [2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert backoff.left(131.0) == 1.0
    backoff.end()
    assert backoff.left(200.0) == 2.0


def test_a_pod_that_waits_is_asked_about_less_and_less_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "AFTER_SECONDS", 0.2)
    with serving(patient, pace=Pace(start=NEVER)) as cluster:
        monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig(tmp_path / "config")))
        place = Place(tmp_path / "state" / "attempts", cluster)
        handle = place.start()
        until(lambda: place.asked("list events"), "its events are read")
        site = place.executor._controller._site
        assert site is not None
        name = place.every("pods")[0]["metadata"]["name"]
        for number in range(30):
            change(cluster, name, str(number))
            until(partial(has_seen, site.pods, name, str(number)), "it is seen")
            place.executor.poll(handle)  # which comes after the attempt's own look
        assert place.asked("list events") < 10
        place.executor.close()


def change(cluster: Running, pod: str, mark: str) -> None:
    note = {"metadata": {"annotations": {"mark": mark}}}
    cluster.call(lambda server: server.objects.change("pods", "default", pod, note))


def has_seen(pods: Informer, pod: str, mark: str) -> bool:
    return bool(pods.found[pod]["metadata"]["annotations"].get("mark") == mark)


def test_a_cluster_that_has_just_answered_is_not_asked_whether_it_does(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubernetes, "FRESH_SECONDS", NEVER)
    names = [f"a-{number}" for number in range(5)]
    for name in names:
        place.start(name)
    until(lambda: all(map(place.runs, names)), "they run")
    assert place.asked("list version") == 2  # one for all of them, and one beside the check of rights


# The way to the gateway


class Probed:
    """What runs in the pods: a probe that does not reach the gateway, once it may say so, or a program."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()

    async def __call__(self, pod: Pod) -> int:
        """Run, and return an exit code."""
        if PROBE not in pod.body["metadata"]["labels"]:
            return await patient(pod)
        await self.go_on.wait()
        return probe.UNREACHED


@pytest.mark.parametrize("calls", [True, False])
def test_a_pod_that_calls_is_believed_rather_than_a_probe_that_does_not_get_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: bool
) -> None:
    probed = Probed()
    with serving(probed) as cluster:
        monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig(tmp_path / "config")))
        place = Place(tmp_path / "state" / "attempts", cluster, doors=Advertised())
        handles = [place.start(name) for name in ("a-1", "a-2")]
        until(lambda: place.runs("a-1") and place.runs("a-2"), "both run")
        if calls:
            shipped.take(Path(handles[1]), "stdout", 0, b"hello\n")  # as the gateway does
        cluster.call(lambda server: probed.go_on.set())
        site = place.executor._controller._site
        assert site is not None
        until(lambda: site.route._probe is not None and site.route._probe.done(), "the probe has failed")
        found = [place.executor.poll(handle) for handle in handles]
        assert [each and each.reason for each in found] == ([None, None] if calls else [REFUSED, REFUSED])
        place.executor.close()

"""Pools of warm pods: pods that do not start, do not work, or are silent, and clusters that refuse. The test plays the pods."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from fabric_jobs.executors import probe
from fabric_jobs.executors.base import REFUSED, AttemptExit
from fabric_jobs.executors.kubernetes import making, pool_pods
from fabric_jobs.executors.kubernetes.manifest import SPARE_SECONDS
from fabric_jobs.executors.kubernetes.pool_manifest import POOL
from fabric_jobs.executors.kubernetes.pool_pods import PoolPods
from tests.acceptance.live import until
from tests.executors.contract import ended
from tests.executors.pool_place import Place, name_of, spec, well
from tests.executors.pool_place import place as place
from tests.kubernetes_api.cluster import NotStarted, Pod
from tests.kubernetes_api.objects import Refused

ENDED = {"containerStatuses": [{"name": "program", "state": {"terminated": {"exitCode": 1, "reason": "Error"}}}]}
EVICTED = {"phase": "Failed", "reason": "Evicted", "message": "the node was low on memory", "containerStatuses": None}
DELETED = {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}
QUOTA = 'jobs.batch "x" is forbidden: exceeded quota: jobs, requested: count/jobs.batch=1'
DENIED = 'admission webhook "policy" denied the request: not today'


async def without_python(pod: Pod) -> int:
    """Fail as an image without Python does."""
    raise NotStarted("no such file")


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return when pools were looked at."""
    found: list[float] = []
    look = PoolPods._look

    async def noted(self: PoolPods) -> None:
        found.append(time.monotonic())
        await look(self)

    monkeypatch.setattr(PoolPods, "_look", noted)
    return found


def more(looks: list[float], count: int = 3) -> None:
    """Wait for more looks."""
    before = len(looks)
    until(lambda: len(looks) >= before + count, "pools are looked at again")


def gone(place: Place, pod: dict[str, Any]) -> None:
    """Wait until a pod is deleted."""
    until(lambda: pod["metadata"]["name"] not in place.left(), "it is deleted")


# Pods that do not work


def test_a_pod_that_cannot_start_leaves_time_for_others(
    place: Place, looks: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    delete = place.cluster.server.node.delete
    monkeypatch.setattr(  # its node is slow to delete it
        place.cluster.server.node,
        "delete",
        lambda kind, *what: {} if kind == "pods" else delete(kind, *what),
    )
    place.programs.pool, place.programs.cold = without_python, well
    handle = place.start()
    assert ended(place.executor, handle) == AttemptExit(0)
    assert place.executor.note(handle).remarks[0] == "starts cold: no such file"
    more(looks)
    assert min(later - before for before, later in pairwise(looks)) > 0.9 * pool_pods.PAUSE_SECONDS


@pytest.mark.parametrize("status", [ENDED, EVICTED], ids=["ended", "evicted"])
def test_a_pod_that_does_not_start_beside_one_that_works_is_replaced(place: Place, status: dict[str, Any]) -> None:
    place.start("a-1")
    first = place.pod()
    assert name_of(place.take(pod=first)) == "a-1"
    handle = place.start("a-2")
    second = place.other(first)
    place.change(second, {"status": status})
    gone(place, second)
    third = place.other(first)
    assert name_of(place.take(pod=third)) == "a-2"
    assert place.executor.note(handle).remarks == ()


def test_pods_that_are_taken_away_before_they_call(place: Place) -> None:
    handle = place.start()
    for _ in range(pool_pods.LOST_PODS):
        assert place.executor.note(handle).remarks == ()
        pod = place.pod()
        place.change(pod, {"status": EVICTED})
        gone(place, pod)
    remarks = until(lambda: place.executor.note(handle).remarks, "it starts cold")
    assert remarks == ("starts cold: Evicted: the node was low on memory",)


def test_imports_that_do_not_end(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    handle = place.start()
    place.doing(handle, "imports packages")
    monkeypatch.setattr(pool_pods, "IMPORT_SECONDS", 0.1)
    remarks = until(lambda: place.executor.note(handle).remarks, "it starts cold")
    assert remarks == ("starts cold: its packages were not imported within 0.1 seconds",)


def test_a_pod_that_calls_no_more_is_replaced(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.start("a-1")
    first = place.pod()
    assert name_of(place.take(pod=first)) == "a-1"
    place.end("a-1", pod=first)
    monkeypatch.setattr(pool_pods, "SILENT_SECONDS", 0.1)
    place.start("a-2")
    assert name_of(place.take(pod=place.other(first))) == "a-2"


def test_a_pod_that_is_to_be_deleted_is_replaced(place: Place) -> None:
    place.start("a-1")
    first = place.pod()
    assert name_of(place.take(pod=first)) == "a-1"
    place.end("a-1", pod=first)
    place.change(first, DELETED)  # its node is away
    place.start("a-2")
    assert name_of(place.take(pod=place.other(first))) == "a-2"


def test_pods_that_do_not_reach_the_gateway(place: Place) -> None:
    async def unreached(pod: Pod) -> int:
        return probe.UNREACHED

    place.programs.probe = unreached
    handle = place.start()
    found = ended(place.executor, handle)
    assert (found.reason, place.executor.note(handle).remarks) == (REFUSED, ())
    assert "cannot reach this gateway" in found.cause
    place.programs.probe = well
    other = place.start("a-2")
    assert name_of(place.take()) == "a-2"
    assert place.executor.poll(other) is None


def test_a_pod_that_has_called_proves_the_way(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FABRIC_JOBS_KUBERNETES_POOL_PODS", "1")
    gate = threading.Event()

    async def unreached(pod: Pod) -> int:
        await asyncio.to_thread(gate.wait)
        return probe.UNREACHED

    place.programs.probe = unreached
    place.start("a-1")
    assert name_of(place.take()) == "a-1"
    handle = place.start("a-2")
    place.doing(handle, "all pods of its pool are busy (1)")
    gate.set()
    site = place.executor._controller._site
    assert site is not None
    probing = site.route._probe
    assert probing is not None
    until(probing.done, "the probe fails")
    place.end("a-1")
    assert name_of(place.take()) == "a-2"


# Clusters and settings that refuse


@pytest.mark.parametrize("name", ["FABRIC_JOBS_KUBERNETES_POOL_PODS", "FABRIC_JOBS_KUBERNETES_POOL_SECONDS"])
def test_a_wrong_setting(place: Place, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    place.start("a-1")
    assert name_of(place.take()) == "a-1"
    monkeypatch.setenv(name, "abc")
    found = ended(place.executor, place.start("a-2"))
    assert (found.code, found.reason) == (None, REFUSED)
    assert f"{name} is a whole number from 1 on, not 'abc'" in found.cause
    monkeypatch.setenv(name, "30")
    place.start("a-3")
    assert name_of(place.take(pod=place.other(place.pod()))) == "a-3"


def test_a_pod_that_may_not_be_deleted_keeps_no_others_waiting(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.start("a-1")
    assert name_of(place.take()) == "a-1"
    place.end("a-1")
    place.cluster.faults.answers["delete", "jobs"] = Refused(400, "Invalid", DENIED)
    monkeypatch.setenv("FABRIC_JOBS_KUBERNETES_POOL_SECONDS", "1")
    until(lambda: place.cluster.server.asked["delete jobs"] > 3, "it is refused")
    first = place.pod()
    place.start("b-1", image="image:2")
    assert name_of(place.take(pod=place.other(first))) == "b-1"
    place.cluster.faults.answers.clear()
    gone(place, first)


def test_an_error_of_ours_ends_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    grow, failures = PoolPods._grow, [ZeroDivisionError("once")]

    async def failing(self: PoolPods, pool: Any) -> None:
        if failures:
            raise failures.pop()
        await grow(self, pool)

    monkeypatch.setattr(PoolPods, "_grow", failing)
    place.start()
    assert name_of(place.take()) == "a-1"
    assert not failures


def test_jobs_that_a_quota_refuses_leave_no_secrets(
    place: Place, looks: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_pods, "FULL_SECONDS", 0.05)
    monkeypatch.setattr(pool_pods, "LOOK_SECONDS", 0.05)
    place.cluster.faults.answers["create", "jobs"] = Refused(403, "Forbidden", QUOTA)
    handle = place.start()
    until(lambda: place.cluster.server.asked["create jobs"] >= 5, "it is tried again")
    assert "exceeded quota" in place.executor.note(handle).doing
    assert len(place.every("secrets")) <= 2  # that of the last try, and of the one under way
    place.cluster.faults.answers.clear()
    assert name_of(place.take()) == "a-1"
    until(lambda: [name(each) for each in place.every("secrets")] == [name(each) for each in place.every("jobs")], "")


def name(found: dict[str, Any]) -> str:
    return str(found["metadata"]["name"])


@pytest.mark.parametrize("is_killed", [False, True])
def test_a_secret_that_could_not_be_given_to_its_job(place: Place, is_killed: bool) -> None:
    place.cluster.faults.answers["patch", "secrets"] = Refused(500, "InternalError", "no")
    place.start()
    place.pod()
    until(lambda: place.cluster.server.asked["patch secrets"] >= 1, "it is refused")
    if is_killed:
        place.kill()
        place.executor.poll(str(place.root / "a-1"))
    place.cluster.faults.answers.clear()
    (secret,) = until(lambda: [each for each in place.every("secrets") if owners(each)], "it belongs to its Job")
    assert [owner["kind"] for owner in owners(secret)] == ["Job"]
    assert name_of(place.take()) == "a-1"


def owners(found: dict[str, Any]) -> list[dict[str, Any]]:
    return found["metadata"].get("ownerReferences") or []


# What is asked and said


def test_pods_that_are_missing_are_asked_for_one_at_a_time(
    place: Place, looks: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_pods, "MISSING_SECONDS", 0.05)
    monkeypatch.setattr(pool_pods, "LOOK_SECONDS", 0.05)
    monkeypatch.setenv("FABRIC_JOBS_KUBERNETES_QUEUE", "q")
    handles = [place.start(f"a-{number}") for number in range(5)]
    for handle in handles:
        place.doing(handle, "suspended: waits in the queue 'q'")
    until(lambda: len(place.every("jobs")) == 5, "there are Jobs")
    more(looks, 5)
    assert place.cluster.server.asked["get jobs"] == 1


def test_pods_in_different_states_are_said_with_one_voice(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    handle = place.start("a-1")
    first = place.pod()
    place.start("a-2")
    second = place.other(first)
    waiting = {"waiting": {"reason": "ErrImagePull", "message": "no route to host"}}
    place.change(first, {"status": {"containerStatuses": [{"name": "program", "state": waiting}]}})
    place.doing(handle, "ErrImagePull: no route to host")
    said = listened(place, monkeypatch)
    creating = {"waiting": {"reason": "ContainerCreating"}}
    place.change(second, {"status": {"containerStatuses": [{"name": "program", "state": creating}]}})
    place.change(second, {"status": {"containerStatuses": [{"name": "program", "state": {"running": {}}}]}})
    place.change(first, {"status": {"containerStatuses": [{"name": "program", "state": {"running": {}}}]}})
    place.doing(handle, "imports packages")
    assert said == ["imports packages"]


def listened(place: Place, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what the attempts of the only pool are told from now on."""
    said: list[str] = []
    tell: Callable[..., None] = PoolPods._tell

    def noted(self: PoolPods, pool: Any) -> None:
        before = pool.doing
        tell(self, pool)
        if pool.doing != before:
            said.append(pool.doing)

    monkeypatch.setattr(PoolPods, "_tell", noted)
    return said


def test_pods_are_made_for_those_that_still_wait(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    make, gate, made = PoolPods._make, threading.Event(), []

    async def slowly(self: PoolPods, pool: Any) -> None:
        made.append(pool)
        await make(self, pool)
        await asyncio.to_thread(gate.wait)

    monkeypatch.setattr(PoolPods, "_make", slowly)
    handles = [place.start(f"a-{number}") for number in range(3)]
    given = []
    for _ in handles:  # the first pod does the work of all
        given.append(name_of(place.take()))
        place.end(given[-1])
    assert len(set(given)) == 3
    gate.set()
    place.start("a-4")
    assert name_of(place.take()) == "a-4"
    assert len(made) == 1


def test_a_report_of_a_pod_that_has_not_the_attempt(place: Place) -> None:
    handle = place.start("a-1")
    first = place.pod()
    assert name_of(place.take(pod=first)) == "a-1"
    place.start("a-2")
    second = place.other(first)
    assert name_of(place.take(pod=second)) == "a-2"
    place.end("a-1", 9, pod=second)
    assert place.executor.poll(handle) is None
    place.end("a-1", 4, pod=first)
    assert place.executor.poll(handle) == AttemptExit(4)


@pytest.mark.parametrize("is_killed", [False, True])
def test_the_times_of_output_are_kept(place: Place, is_killed: bool) -> None:
    handle = place.start()
    pod = place.pod()
    place.take(pod=pod).result(30)
    if is_killed:
        place.kill()
        place.executor.poll(handle)
    (Path(handle) / "stdout").write_bytes(b"one\n")
    index = Path(handle) / "index"
    until(lambda: index.exists() and index.read_text().endswith(" 4 0\n"), "it is in the index")


def test_files_are_not_read_for_an_order(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "with_contents", None)
    place.executor.start(replace(spec(), files={"payload": b"x"}, timeout=60.0))
    order = place.take().result(30)["order"]
    assert (order["files"], order["deadline"]) == (["payload"], 120.0 + SPARE_SECONDS)
    assert all(POOL in pod["metadata"]["labels"] for pod in place.running())

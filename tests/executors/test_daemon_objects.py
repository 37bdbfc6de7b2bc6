"""The objects of a daemon go with it, however far its start came. Against an API server in memory, which makes no pods of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fabric_jobs.errors import ExecutorUnavailable
from fabric_jobs.executors.base import REFUSED, STOPPED, AttemptExit, AttemptSpec, ProcessSpec
from fabric_jobs.executors.kubernetes import KubernetesExecutor
from tests.acceptance.live import until
from tests.kubernetes_api.objects import Refused
from tests.kubernetes_api.server import Running, serving

KINDS = ("deployments", "services", "secrets")
REJECTED = Refused(400, "BadRequest", 'admission webhook "policy" denied the request: not in this namespace')
AWAY = Refused(503, "ServiceUnavailable", "etcdserver: leader changed")
SPEC = AttemptSpec(
    name="daemon-1",
    processes=(ProcessSpec(directory=None, image="api:1", command=("serve",), port=5000),),
    replicas=1,
)


class Place:
    """An executor and its cluster."""

    def __init__(self, root: Path, cluster: Running) -> None:
        self.root = root
        self.cluster = cluster
        self.executor = KubernetesExecutor(root)

    def objects(self) -> list[str]:
        """Return the kinds of the objects that there are."""
        return self.cluster.call(lambda server: [kind for kind in KINDS for _ in server.objects.every(kind, "default")])

    def exit(self, handle: str) -> AttemptExit:
        """Return the exit of a daemon."""

        def poll() -> AttemptExit | None:
            try:
                return self.executor.poll(handle)
            except ExecutorUnavailable:
                return None

        return until(poll, "it has ended")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    with serving() as cluster:
        monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig(tmp_path / "config")))
        monkeypatch.setenv("FABRIC_JOBS_KUBERNETES_NAMESPACE", "default")
        made = Place(tmp_path / "attempts", cluster)
        yield made
        made.executor.close()


@pytest.mark.parametrize("kind", KINDS)
def test_one_that_the_cluster_rejects_leaves_nothing(place: Place, kind: str) -> None:
    place.cluster.faults.answers["create", kind] = REJECTED
    found = place.exit(place.executor.start(SPEC))
    assert (found.reason, "not in this namespace" in found.cause) == (REFUSED, True)
    assert place.objects() == []


@pytest.mark.parametrize("owner_died", [False, True])
def test_one_that_is_stopped_half_way_leaves_nothing(place: Place, owner_died: bool) -> None:
    place.cluster.faults.answers["create", "services"] = AWAY
    handle = place.executor.start(SPEC)
    until(lambda: "deployments" in place.objects(), "its Deployment is there")
    if owner_died:
        place.executor.close()
        place.executor = KubernetesExecutor(place.root)
    place.executor.stop(handle, 1)
    assert place.exit(handle).reason == STOPPED
    assert place.objects() == []


def test_one_that_is_stopped_before_anything_was_made(place: Place) -> None:
    place.cluster.faults.answers["create", "secrets"] = AWAY
    handle = place.executor.start(SPEC)
    place.executor.stop(handle, 1)
    assert place.exit(handle).reason == STOPPED
    assert place.objects() == []


def test_one_that_lacks_a_right_can_be_stopped(place: Place) -> None:
    place.cluster.faults.denied |= {(verb, kind) for verb in ("create", "get", "delete") for kind in KINDS}
    handle = place.executor.start(SPEC)
    place.executor.stop(handle, 1)
    assert place.exit(handle).reason == STOPPED

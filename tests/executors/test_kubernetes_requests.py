"""What an attempt asks of a cluster, counted by an API server in memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from fabric_jobs.executors.base import AttemptExit
from fabric_jobs.executors.kubernetes import KubernetesExecutor, controller
from fabric_jobs.executors.kubernetes.manifest import ATTEMPT, OWNER
from fabric_jobs.executors.kubernetes.owner import owner_of
from tests.acceptance.live import until
from tests.executors.contract import ended
from tests.executors.kubernetes_driver import spec_of
from tests.kubernetes_api.objects import Refused
from tests.kubernetes_api.server import Server, serving

ATTEMPTS = 5
KINDS = ("jobs", "secrets", "pods")


def left(server: Server) -> int:
    return sum(len(server.objects.every(kind, "default")) for kind in KINDS)


def test_an_attempt_changes_four_things_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as api:
        monkeypatch.setenv("KUBECONFIG", str(api.kubeconfig(tmp_path / "kubeconfig")))
        monkeypatch.setenv("FABRIC_JOBS_KUBERNETES_NAMESPACE", "default")
        executor = KubernetesExecutor(tmp_path / "attempts")
        try:
            specs = [
                spec_of("/bin/sh", "-c", f"exit {number}", name=f"a-{number}", image="busybox")
                for number in range(ATTEMPTS)
            ]
            handles = [executor.start(spec) for spec in specs]
            codes = [ended(executor, handle) for handle in handles]
            assert codes == [AttemptExit(number) for number in range(ATTEMPTS)]
            until(lambda: not api.call(left), "nothing is left")
            asked = api.call(lambda server: dict(server.asked))
        finally:
            executor.close()
    changes = {what: count for what, count in asked.items() if what.partition(" ")[0] in ("create", "patch", "delete")}
    for once in ("create configmaps", "create selfsubjectaccessreviews"):  # for all attempts
        del changes[once]
    each = 2 * ATTEMPTS  # the image has no Python, so each is started again by its image
    assert changes == {"create secrets": each, "create jobs": each, "patch secrets": each, "delete jobs": each}
    assert asked["watch pods"] == 1


def test_what_a_killed_gateway_left_is_swept_once_the_cluster_lets_us(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(controller, "AGAIN_SECONDS", 0.05)
    root = tmp_path / "attempts"
    metadata = {"name": "left", "labels": {OWNER: owner_of(root)}, "annotations": {ATTEMPT: "left"}}
    with serving() as api:
        monkeypatch.setenv("KUBECONFIG", str(api.kubeconfig(tmp_path / "kubeconfig")))
        monkeypatch.setenv("FABRIC_JOBS_KUBERNETES_NAMESPACE", "default")
        api.call(lambda server: server.objects.create("secrets", "default", {"metadata": metadata}))
        api.faults.scripted["list secrets"] = [
            Refused(404, "NotFound", "not found", kind="namespaces"),
            Refused(404, "NotFound", "not found"),
            Refused(409, "Conflict", "changed"),
        ]
        executor = KubernetesExecutor(root)
        try:
            executor.inside("a")
            until(lambda: not api.call(left), "nothing is left")
        finally:
            executor.close()

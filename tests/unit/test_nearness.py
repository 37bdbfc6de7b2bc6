"""Whether a machine reaches the Services of a cluster, without a cluster."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest

from fabric_jobs.executors.kubernetes import tunnels
from fabric_jobs.executors.kubernetes.tunnels import Nearness
from fabric_jobs.kubernetes import login
from fabric_jobs.kubernetes.cluster import Cluster, Where


class Far:
    """A cluster whose API answers at the address of its Service, or not."""

    is_around = False

    def __init__(self) -> None:
        self.answers = False
        self.asked = 0

    async def review(self, attributes: object) -> bool:
        """Let everybody read the Service."""
        return True

    async def at(self, path: str) -> dict[str, Any]:
        """Return the Service."""
        return {"spec": {"clusterIP": "10.96.0.1", "ports": [{"port": 443}]}}

    async def answers_at(self, url: str) -> bool:
        """Answer, or not."""
        self.asked += 1
        return self.answers


def test_a_machine_that_reaches_no_service_looks_again_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    far = Far()
    cluster = cast(Cluster, far)

    async def look() -> None:
        nearness = Nearness()
        assert await nearness.known(cluster) is False
        far.answers = True
        assert await nearness.known(cluster) is False
        monkeypatch.setattr(tunnels, "FAR_SECONDS", 0.0)
        assert await nearness.known(cluster) is True
        far.answers = False
        assert await nearness.known(cluster) is True  # for good
        assert far.asked == 2

    asyncio.run(look())


def test_a_pod_is_near_its_own_cluster_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").touch()
    monkeypatch.setattr(login, "IN_CLUSTER", tmp_path)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    monkeypatch.delenv("KUBECONFIG", raising=False)
    assert Cluster(Where(context="")).is_around
    assert not Cluster(Where(context="another")).is_around
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    assert not Cluster(Where(context="")).is_around
    assert asyncio.run(Nearness().known(cast(Cluster, Far()))) is False

"""An engine says why it hears nothing of attempts in a cluster; that is an API server in memory."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fabric_jobs.executors.kubernetes import KubernetesExecutor
from tests.acceptance.live import until
from tests.engine.bench import Bench
from tests.factories import save_skill, skill_document
from tests.kubernetes_api.cluster import Pod
from tests.kubernetes_api.server import Running, serving
from tests.tcp_proxy import TcpProxy

LOOK_SECONDS = 0.01  # of the program, whether it may end


class Cluster:
    """A cluster behind a proxy, an engine that uses it, and a program that ends when the test says so."""

    def __init__(self, directory: Path, api: Running, proxy: TcpProxy) -> None:
        self.api = api
        self.proxy = proxy
        self.executor = KubernetesExecutor(directory / "attempts")
        self.bench = Bench(directory, others={"kubernetes": self.executor})

    def invoke(self) -> str:
        """Invoke a skill that runs in the cluster."""
        save_skill(self.bench.store, skill_document("a", image="image:1"))
        return self.bench.invoke("skill", "a", executor="kubernetes")

    def runs(self) -> bool:
        """Return whether a pod runs."""
        found = self.api.call(lambda server: server.objects.every("pods", "default"))
        return any((pod.get("status") or {}).get("phase") == "Running" for pod in found)

    def trouble(self, activation_id: str) -> str:
        """Return why nothing is heard of the task of an activation, as the progress line says."""
        return self.bench.engine.troubles(activation_id).get("a.in", "")


@pytest.fixture
def may_end() -> threading.Event:
    return threading.Event()


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, may_end: threading.Event) -> Iterator[Cluster]:
    async def program(pod: Pod) -> int:
        while not may_end.is_set() and not pod.asked.is_set():
            await asyncio.sleep(LOOK_SECONDS)
        return 0

    with serving(program) as api:
        proxy = TcpProxy(lambda: socket.create_connection(("127.0.0.1", api.server.port)))
        config = api.kubeconfig(tmp_path / "config", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("KUBECONFIG", str(config))
        made = Cluster(tmp_path, api, proxy)
        yield made
        may_end.set()
        made.bench.close()
        proxy.close()


def test_a_cluster_that_goes_away_while_a_program_runs(cluster: Cluster, may_end: threading.Event) -> None:
    activation_id = cluster.invoke()
    until(cluster.runs, "its pod runs")
    cluster.proxy.away()
    until(lambda: "does not answer" in cluster.trouble(activation_id), "the progress says so")
    cluster.proxy.back()
    until(lambda: not cluster.trouble(activation_id), "it is over")
    may_end.set()
    cluster.bench.ended(activation_id)


def test_a_right_that_is_taken_away_after_an_attempt_was_accepted(cluster: Cluster, may_end: threading.Event) -> None:
    cluster.executor.inside("x")  # after this, rights are not checked again
    cluster.api.faults.denied.add(("create", "jobs"))
    activation_id = cluster.invoke()
    until(lambda: 'cannot create resource "jobs"' in cluster.trouble(activation_id), "the progress names it")
    cluster.api.faults.denied.clear()
    until(cluster.runs, "its pod runs")
    until(lambda: not cluster.trouble(activation_id), "it is over")
    may_end.set()
    cluster.bench.ended(activation_id)

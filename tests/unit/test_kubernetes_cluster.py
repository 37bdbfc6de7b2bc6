"""What is asked of a cluster, against an API server in memory: streams, answers that make no sense, slow logins."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric_jobs import deployment
from fabric_jobs.deployment import Installation
from fabric_jobs.doctor import cluster as doctor
from fabric_jobs.doctor.finding import OK, Scope
from fabric_jobs.errors import ExecutorUnavailable
from fabric_jobs.executors.kubernetes import KubernetesExecutor
from fabric_jobs.gateway import dry_run
from fabric_jobs.kubernetes import session
from fabric_jobs.kubernetes.cluster import Cluster, Where, _lines
from fabric_jobs.kubernetes.failures import CONTEXTS
from tests.kubernetes_api.cluster import Pod
from tests.kubernetes_api.objects import Refused
from tests.kubernetes_api.server import Running, serving

VERSION = "list version"  # as the server counts what is asked
POD = {"metadata": {"name": "one"}, "spec": {"containers": [{"name": "program", "image": "any"}]}}


class Printing:
    """A program that prints a line, and more once it is let go."""

    def __init__(self) -> None:
        self.may_end = asyncio.Event()

    async def __call__(self, pod: Pod) -> int:
        pod.log += b"first\n"
        await self.may_end.wait()
        pod.log += b"second\nrest"
        return 0


@pytest.fixture
def program() -> Printing:
    return Printing()


@pytest.fixture
def api(program: Printing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    with serving(program) as running:
        monkeypatch.setenv("KUBECONFIG", str(running.kubeconfig(tmp_path / "kubeconfig")))
        monkeypatch.setenv("FABRIC_JOBS_KUBERNETES_NAMESPACE", "default")
        yield running


def asked(question: Callable[[Cluster], Coroutine[Any, Any, Any]], patience: float | None = None) -> Any:
    """Ask the cluster something."""

    async def ask() -> Any:
        found = Cluster(Where(), patience)
        try:
            return await question(found)
        finally:
            await found.close()

    return asyncio.run(ask())


# Streams


def test_a_log_arrives_as_it_is_printed_and_as_lines(api: Running, program: Printing) -> None:
    async def read(cluster: Cluster) -> tuple[bytes, list[bytes]]:
        await cluster.create("pods", POD)
        while not api.call(lambda server: server.node.pods["default", "one"].log):
            await asyncio.sleep(0.01)
        async with cluster.log_pieces("one", "program", follow=True) as pieces:
            first = await anext(pieces)
            api.call(lambda server: program.may_end.set())
            rest = b"".join([piece async for piece in pieces])
        return first + b"|" + rest, [line async for line in cluster.log("one", "program", follow=True)]

    assert asked(read) == (b"first\n|second\nrest", [b"first\n", b"second\n", b"rest"])


async def _each(pieces: list[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


def lines_of(pieces: list[bytes]) -> list[bytes]:
    async def read() -> list[bytes]:
        return [line async for line in _lines(_each(pieces))]

    return asyncio.run(read())


@given(st.lists(st.lists(st.sampled_from([b"a", b"\r", b"\n"])).map(b"".join)))
def test_pieces_are_cut_into_lines(pieces: list[bytes]) -> None:
    found = lines_of(pieces)
    assert b"".join(found) == b"".join(pieces)
    assert all(line.endswith(b"\n") and line.count(b"\n") == 1 for line in found[:-1])
    assert all(line.rstrip(b"\n") or line == b"\n" for line in found)


def test_a_long_line_takes_no_longer_than_many_short_ones() -> None:
    """Joining at every piece would copy 160 GB."""
    began = time.process_time()
    assert len(lines_of([b"x" * 100] * 57_000)) == 1
    assert time.process_time() - began < 5


def test_streams_leave_room_for_requests(api: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "CONNECTIONS", 1)
    monkeypatch.setattr(session, "SECONDS", 2.0)

    async def ask(cluster: Cluster) -> str:
        async with cluster.watch("pods", "", "1", 60), cluster.watch("jobs", "", "1", 60):
            return await cluster.version()

    assert asked(ask) == "v1.34.4"


def test_a_connection_whose_other_side_has_vanished_ends(api: Running) -> None:
    async def ask(_: Cluster) -> tuple[int, int]:
        found = session.Session("")
        pods, query = "/api/v1/namespaces/default/pods", {"watch": "1", "resourceVersion": "1"}
        answer = await found.ask("GET", pods, query, timeout=aiohttp.ClientTimeout())
        made: socket.socket = answer.connection.transport.get_extra_info("socket")
        options = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE), (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)]
        alive, idle = (made.getsockopt(*option) for option in options)
        answer.close()
        await found.close()
        return alive, idle

    assert asked(ask) == (1, 30)


# Answers that make no sense


def is_strange(api: Running, said: str) -> bool:
    return f"the server at {api.url} is not a Kubernetes API." in said


@pytest.mark.parametrize("answer", [b"<html>Welcome</html>", b'"v1"', b"{}", Refused(404, "NotFound", "not found")])
def test_a_server_that_is_no_cluster_is_said_everywhere(api: Running, tmp_path: Path, answer: bytes | Refused) -> None:
    api.faults.scripted[VERSION] = [answer] * 100
    executor = KubernetesExecutor(tmp_path / "attempts")
    try:
        with pytest.raises(ExecutorUnavailable) as caught:
            executor.inside("a")
        assert is_strange(api, caught.value.message)
        assert caught.value.hint == CONTEXTS
        with pytest.raises(ExecutorUnavailable) as caught:
            executor._loop.ask(executor._controller.ping, 10)
        assert is_strange(api, caught.value.message)
    finally:
        executor.close()
    assert is_strange(api, dry_run.asked([])["unreachable"])
    assert is_strange(api, list(doctor.kubernetes(Scope(workspace=None, state_dir=None)))[-1].message)


def test_an_answer_that_is_cut_or_a_page_is_no_object(api: Running) -> None:
    for text in (b'{"kind": ', b"<html>"):
        api.faults.scripted["get pods"] = [text]
        with pytest.raises(ExecutorUnavailable, match="is not a Kubernetes API"):
            asked(lambda cluster: cluster.get("pods", "one"))


# Logins that take their time


@pytest.fixture
def slow_login(api: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Log in by a program that takes longer than a question of an executor waits for it."""
    monkeypatch.setattr(session, "OPEN_SECONDS", 0.05)
    program = tmp_path / "login"
    said = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "t"}}
    program.write_text(f"#!{sys.executable}\nimport time\ntime.sleep(0.5)\nprint({json.dumps(said)!r})\n")
    program.chmod(0o755)
    file = tmp_path / "kubeconfig"
    config = json.loads(file.read_text())
    config["users"] = [{"name": "test", "user": {"exec": {"apiVersion": said["apiVersion"], "command": str(program)}}}]
    file.write_text(json.dumps(config))


@pytest.mark.usefixtures("slow_login")
def test_a_slow_login_is_waited_for_where_nobody_asks_again(api: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ExecutorUnavailable, match="has not answered yet"):
        asked(lambda cluster: cluster.version())
    found = dry_run.asked([])
    assert (found["cluster"], found["unreachable"]) == (f"{api.url}, namespace default", "")
    assert next(doctor.kubernetes(Scope(workspace=None, state_dir=None))).level == OK
    monkeypatch.setattr(deployment, "objects", lambda wanted: [{"kind": "Service", "metadata": {"name": "one"}}])
    api.faults.scripted["patch services"] = [b"{}"]
    assert deployment.apply(Installation()) == api.url

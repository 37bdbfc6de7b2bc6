"""An engine that stops answering during a run, and an engine on another machine."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from fabric_jobs.docker.engine import DockerEngine
from fabric_jobs.errors import ExecutorUnavailable, InvalidInput
from fabric_jobs.executors.base import NOT_STARTED, STOPPED, AttemptExit, Inside
from fabric_jobs.executors.docker.reach import NETWORK, OPTIONS
from tests.acceptance.live import until
from tests.docker_place import docker, needs_docker
from tests.docker_proxy import DockerProxy
from tests.executors.contract import Running, ended
from tests.executors.docker_driver import DockerDriver, spec_of

pytestmark = needs_docker


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[DockerProxy]:
    """Yield a proxy to an engine that sees this machine's directories, as a local one does."""
    made = DockerProxy()
    monkeypatch.setenv("DOCKER_HOST", made.url)
    monkeypatch.setattr(DockerEngine, "shares_files", True)
    yield made
    made.close()


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proxy: DockerProxy) -> Iterator[DockerDriver]:
    made = DockerDriver(tmp_path, monkeypatch)
    assert made.executor._engine.url == proxy.url
    monkeypatch.delenv("DOCKER_HOST")  # the tests' own `docker` command bypasses the proxy
    yield made
    made.close()


@pytest.fixture
def running(driver: DockerDriver) -> Running:
    spec = driver.spec("attempt-1")
    running = Running(spec, driver.executor.start(spec))
    driver.say(running, stdout=b"before\n", stderr=b"before, too\n")
    return running


def test_nobody_can_tell_until_it_answers_and_nothing_is_missing_then(
    driver: DockerDriver, proxy: DockerProxy, running: Running
) -> None:
    proxy.away()
    with pytest.raises(ExecutorUnavailable, match="the Docker engine does not answer"):
        driver.executor.poll(running.handle)
    driver.order(running, "echo meanwhile; echo too >&2")
    assert driver.output(running.handle) == (b"before\n", b"before, too\n")
    proxy.back()
    driver.say(running, stdout=b"after\n")
    assert driver.executor.poll(running.handle) is None
    driver.end(running, 6)
    assert ended(driver.executor, running.handle) == AttemptExit(6)
    assert driver.output(running.handle) == (b"before\nmeanwhile\nafter\n", b"before, too\ntoo\n")
    assert driver.starts(running) == 1
    until(lambda: not driver.containers(), "no container is left")


def test_an_end_that_nobody_saw_is_known_afterwards(driver: DockerDriver, proxy: DockerProxy, running: Running) -> None:
    container = driver.container(running)
    proxy.away()
    driver.order(running, "echo meanwhile; exit 7", wait=False)
    docker("wait", container)
    with pytest.raises(ExecutorUnavailable):
        driver.executor.poll(running.handle)
    proxy.back()
    assert _told(driver, running) == AttemptExit(7)
    assert driver.output(running.handle) == (b"before\nmeanwhile\n", b"before, too\n")


def test_connections_that_are_cut_are_made_again(driver: DockerDriver, proxy: DockerProxy, running: Running) -> None:
    for number in range(3):
        proxy.cut()
        driver.say(running, stdout=b"%d\n" % number)
    driver.end(running, 0)
    assert ended(driver.executor, running.handle) == AttemptExit(0)
    assert driver.output(running.handle)[0] == b"before\n0\n1\n2\n"


def test_what_is_printed_after_a_cut_and_right_before_the_end_is_there(
    driver: DockerDriver, proxy: DockerProxy, running: Running
) -> None:
    proxy.cut()
    driver.order(running, "echo last; exit 0", wait=False)
    assert ended(driver.executor, running.handle) == AttemptExit(0)
    assert driver.output(running.handle)[0] == b"before\nlast\n"


def test_nothing_is_accepted_and_nothing_stopped_while_it_is_away(
    driver: DockerDriver, proxy: DockerProxy, running: Running
) -> None:
    proxy.away()
    with pytest.raises(ExecutorUnavailable):
        driver.executor.start(driver.spec("attempt-2"))
    assert not (driver.root / "attempt-2").exists()
    with pytest.raises(ExecutorUnavailable):
        driver.executor.stop(running.handle, 5)
    proxy.back()
    driver.executor.stop(running.handle, 5)
    assert _told(driver, running) == AttemptExit(143, STOPPED)


def test_what_was_accepted_before_is_started_when_it_is_back(driver: DockerDriver, proxy: DockerProxy) -> None:
    spec = driver.spec("attempt-1")
    driver.executor.start(spec)
    proxy.away()
    proxy.back()
    running = Running(spec, driver.executor.start(spec))
    driver.say(running, stdout=b"here\n")
    driver.end(running, 0)
    assert ended(driver.executor, running.handle) == AttemptExit(0)
    assert driver.starts(running) == 1


def _told(driver: DockerDriver, running: Running) -> AttemptExit:
    """Wait until an attempt's end is known, and return it."""

    def poll() -> AttemptExit | None:
        try:
            return driver.executor.poll(running.handle)
        except ExecutorUnavailable:
            return None

    return until(poll, "an answer")


# An engine on another machine


class Far:
    """The doors of a gateway on another machine than the engine."""

    socket = "/nowhere"
    url = "http://127.0.0.1:1"

    def __init__(self, advertised: str) -> None:
        self.advertised = advertised

    def listen(self, host: str) -> str:
        raise AssertionError(f"{host} is no address of this machine")

    def share(self) -> Path:
        raise AssertionError("the engine sees no directory of this machine")


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    """Yield a listening socket: enough of a gateway for a check of whether containers reach it."""
    with socket.create_server((DockerEngine().network(NETWORK, OPTIONS), 0)) as made:
        answering = threading.Thread(target=_answer, args=(made,), daemon=True)
        answering.start()
        yield made
        with suppress(OSError):  # a test has closed it
            made.shutdown(socket.SHUT_RDWR)
        answering.join()


@pytest.fixture
def remote(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    proxy = DockerProxy()
    monkeypatch.setenv("DOCKER_HOST", proxy.url)
    yield proxy.url
    proxy.close()


@pytest.fixture
def far(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, remote: str, listening: socket.socket
) -> Iterator[DockerDriver]:
    host, port = listening.getsockname()
    made = DockerDriver(tmp_path, monkeypatch, Far(f"http://{host}:{port}"))
    yield made
    made.close()


def test_a_remote_engine_gets_the_runtime_layer_and_the_files(far: DockerDriver) -> None:
    code = """
import fabric_skill, sys
print(open("/run/fabric-jobs/files/payload.json").read(), fabric_skill.__file__)
sys.exit(3)
"""
    found, stdout, stderr = far.run(spec_of("python3", "-c", code, files={"payload.json": b"{}"}))
    assert found == AttemptExit(3), stderr
    assert stdout == b"{} /opt/fabric-jobs/runtime/fabric_skill/__init__.py\n"
    until(lambda: not far.containers(), "no container is left")


def test_several_containers_of_a_remote_engine_share_files_that_are_copied_there(far: DockerDriver) -> None:
    first = """
import time
print(open("/run/fabric-jobs/files/worker.json").read())
open("/mnt/printed", "w").close()
time.sleep(1000)
"""
    second = """
import os, time
print(open("/cortex/job.json").read())
while not os.path.exists("/mnt/printed"):
    time.sleep(0.01)
"""
    spec = spec_of("python3", "-u", "-c", first, files={"worker.json": b"mine", "job.json": b"ours"})
    other = replace(spec.processes[0], command=("python3", "-u", "-c", second))
    placed = {"/cortex/job.json": "job.json"}
    spec = replace(spec, processes=(*spec.processes, other), shared=("/mnt", "/cortex"), placed=placed)
    found, stdout, stderr = far.run(spec)
    assert (found, sorted(stdout.splitlines()), stderr) == (AttemptExit(0), [b"mine", b"ours"], b"")
    until(lambda: not far.containers() and not far.volumes(), "nothing is left")


def test_the_gateway_is_where_it_is_advertised(far: DockerDriver, listening: socket.socket) -> None:
    host, port = listening.getsockname()
    assert far.executor.inside("attempt-1") == Inside(
        files="/run/fabric-jobs/files", api_endpoint=f"http://{host}:{port}/px"
    )


def test_a_program_that_listens_is_reached_by_a_port_of_the_remote_machine(far: DockerDriver) -> None:
    code = """
import os, socket
with socket.create_server(("", int(os.environ["PORT"]))) as server:
    while True:
        with server.accept()[0] as connection:
            connection.sendall(b"hello")
"""
    handle = far.executor.start(spec_of("python3", "-c", code, port=5000))
    host, port = until(lambda: _address(far, handle), "an address")
    assert host == "127.0.0.1"
    assert until(lambda: _said((host, port)), "an answer") == b"hello"
    far.executor.stop(handle, 5)
    assert ended(far.executor, handle) == AttemptExit(143, STOPPED)


def test_a_remote_engine_that_cannot_reach_the_gateway_is_told_before_a_program_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, remote: str, listening: socket.socket
) -> None:
    host, port = listening.getsockname()
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    driver = DockerDriver(tmp_path, monkeypatch, Far(f"http://{host}:{port}"))
    found, stdout, stderr = driver.run(spec_of("echo", "here"))
    assert (found, stdout) == (AttemptExit(125, NOT_STARTED), b"")
    assert f"cannot reach this gateway at http://{host}:{port}" in stderr.decode()
    driver.close()


def test_a_remote_engine_needs_an_address_of_the_gateway(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, remote: str
) -> None:
    driver = DockerDriver(tmp_path, monkeypatch, Far(""))
    with pytest.raises(InvalidInput, match="is on another machine") as refused:
        driver.executor.inside("attempt-1")
    assert "--advertise http://HOST:PORT" in refused.value.hint
    found, _, stderr = driver.run(spec_of("true"))
    assert found == AttemptExit(125, NOT_STARTED)
    assert b"is on another machine" in stderr
    driver.close()


def _answer(listening: socket.socket) -> None:
    with suppress(OSError):  # it is closed
        while True:
            with listening.accept()[0] as connection:
                connection.recv(1 << 16)
                connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n")


def _address(driver: DockerDriver, handle: str) -> tuple[str, int] | None:
    try:
        return driver.executor.address(handle)
    except ExecutorUnavailable:
        return None


def _said(address: tuple[str, int]) -> bytes:
    """Return a server's output; empty if it does not listen yet."""
    try:
        with socket.create_connection(address) as connection:
            return connection.recv(100)
    except OSError:
        return b""

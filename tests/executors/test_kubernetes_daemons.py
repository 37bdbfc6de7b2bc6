"""Daemons on a real cluster: one address for all copies, ends as in other places, and nothing left behind."""

from __future__ import annotations

import random
import socket
import threading
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from fabric_jobs.errors import ExecutorUnavailable
from fabric_jobs.executors.base import LOST, NOT_STARTED, REFUSED, STOPPED, AttemptExit, AttemptSpec, ProcessSpec
from fabric_jobs.executors.kubernetes import tunnels
from tests.executors.contract import ended
from tests.executors.kubernetes_driver import KubernetesDriver
from tests.executors.kubernetes_driver import kubernetes_driver as kubernetes_driver
from tests.executors.kubernetes_driver import probed as probed
from tests.executors.test_kubernetes_rights import own_address
from tests.kubernetes_place import BASE_IMAGE, kubectl, needs_cluster, until

pytestmark = needs_cluster

# It answers with its host name, which is that of its pod, and ends when that is asked for.
SERVER = """
import os, socket, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        if self.path.startswith("/exit"):
            print("asked to end", flush=True)
            os._exit(int(self.path.rpartition("/")[2]))
        body = socket.gethostname().encode()
        print(f"answered {self.path}", flush=True)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words):
        pass

print("begins", file=sys.stderr, flush=True)
ThreadingHTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
"""


def daemon(program: str = SERVER, *, name: str = "daemon-1", replicas: int = 1, **changes: Any) -> AttemptSpec:
    given = {"directory": None, "command": ("python3", "-c", program), "image": BASE_IMAGE, "port": 5000, **changes}
    labels = {"project": "local", "skill": "each", "action": "each"}
    return AttemptSpec(name=name, processes=(ProcessSpec(**given),), labels=labels, replicas=replicas)


def ask(where: tuple[str, int], path: str = "/") -> str:
    connection = HTTPConnection(*where, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().read().decode()
    except (OSError, EOFError):
        return ""
    finally:
        connection.close()


def reach(driver: KubernetesDriver, handle: str) -> tuple[str, int]:
    """Return the address of a daemon once it answers."""

    def answers() -> tuple[str, int] | None:
        try:
            where = driver.executor.address(handle)
        except ExecutorUnavailable:
            driver.executor.poll(handle)
            return None
        return where if ask(where) else None

    return until(answers, "the daemon answers")


def printed(handle: str) -> str:
    return (Path(handle) / "stdout").read_text()


def test_a_daemon_listens_until_it_is_stopped(driver: KubernetesDriver) -> None:
    handle = driver.executor.start(daemon())
    assert driver.executor.start(daemon()) == handle
    where = reach(driver, handle)
    assert where[1] == 5000
    until(lambda: "answered /" in printed(handle), "its output is there")
    assert printed(handle).startswith("begins\n")
    assert driver.executor.poll(handle) is None
    driver.executor.stop(handle, 5)
    found = ended(driver.executor, handle)
    assert (found.code, found.reason) == (143, STOPPED)
    assert driver.left() == []


def answering(where: tuple[str, int], count: int) -> set[str]:
    """Return the names of the pods that answer, once there are as many."""
    hosts: set[str] = set()

    def all_have() -> bool:
        hosts.update({ask(where)} - {""})
        return len(hosts) >= count

    until(all_have, f"{count} pods answer")
    return hosts


def test_calls_go_on_when_one_of_two_pods_is_deleted(driver: KubernetesDriver) -> None:
    handle = driver.executor.start(daemon(replicas=2))
    where = reach(driver, handle)
    first, second = answering(where, 2)
    kubectl("delete", "pod", first, "--namespace", driver.namespace, "--wait=false")
    until(lambda: not {ask(where) for _ in range(20)} & {"", first}, "calls go on without it")
    until(lambda: ask(where) not in ("", first, second), "the cluster has replaced the pod")
    assert driver.executor.poll(handle) is None
    driver.executor.stop(handle, 1)
    assert ended(driver.executor, handle).reason == STOPPED
    assert driver.left() == []


def test_the_crash_of_one_of_two_copies_does_not_end_the_other(driver: KubernetesDriver) -> None:
    handle = driver.executor.start(daemon(replicas=2))
    where = reach(driver, handle)
    answering(where, 2)
    ask(where, "/exit/3")
    until(lambda: "asked to end" in printed(handle), "what it printed is there")
    answering(where, 2)  # the cluster has started it again
    assert driver.executor.poll(handle) is None


def test_a_program_that_ends_ends_the_attempt_with_its_code_and_output(driver: KubernetesDriver) -> None:
    handle = driver.executor.start(daemon())
    where = reach(driver, handle)
    ask(where, "/exit/7")
    assert ended(driver.executor, handle) == AttemptExit(7)
    assert "asked to end\n" in printed(handle)
    assert driver.left() == []


def test_a_program_that_ends_at_once_is_not_started_again_and_again(driver: KubernetesDriver) -> None:
    handle = driver.executor.start(daemon("import sys; print('no model here'); sys.exit(3)", replicas=2))
    assert ended(driver.executor, handle) == AttemptExit(3)
    assert "no model here\n" in printed(handle)
    assert driver.left() == []


def test_a_program_that_is_not_in_the_image_is_not_started(driver: KubernetesDriver) -> None:
    handle = driver.executor.start(daemon(command=("/no/such/program",)))
    found = ended(driver.executor, handle)
    assert found.reason == NOT_STARTED
    assert "no/such/program" in (Path(handle) / "stderr").read_text()
    assert driver.left() == []


def test_a_program_that_never_listens_runs_until_it_is_stopped(driver: KubernetesDriver) -> None:
    handle = driver.executor.start(daemon("import time; print('idle', flush=True); time.sleep(1000)"))

    def address() -> tuple[str, int] | None:
        try:
            return driver.executor.address(handle)
        except ExecutorUnavailable:
            return None

    where = until(address, "its program runs")
    assert ask(where) == ""
    driver.executor.stop(handle, 0)
    assert ended(driver.executor, handle).reason == STOPPED
    assert printed(handle) == "idle\n"


def test_a_daemon_without_copies_is_refused(driver: KubernetesDriver) -> None:
    found = ended(driver.executor, driver.executor.start(daemon(replicas=0)))
    assert (found.code, found.reason) == (None, REFUSED)
    assert "scaleCount" in found.cause
    assert driver.left() == []


@pytest.mark.usefixtures("probed")
def test_a_daemon_whose_gateway_cannot_be_reached_is_refused_and_gone(driver: KubernetesDriver) -> None:
    driver.counter.advertised = f"http://{own_address()}:1"
    found = ended(driver.executor, driver.executor.start(daemon()))
    assert found.reason == REFUSED
    assert driver.left() == []


def test_a_deployment_deleted_by_hand_is_lost(driver: KubernetesDriver) -> None:
    handle = driver.executor.start(daemon())
    reach(driver, handle)
    kubectl("delete", "deployments", "--all", "--namespace", driver.namespace, "--wait=false")
    assert ended(driver.executor, handle) == AttemptExit(None, LOST)
    assert driver.executor.note(handle).remarks == ("its Deployment was deleted by somebody else",)
    assert driver.left() == []


def test_a_new_process_finds_it_again(driver: KubernetesDriver) -> None:
    handle = driver.executor.start(daemon(replicas=2))
    where = reach(driver, handle)
    ask(where, "/first")
    until(lambda: "answered /first" in printed(handle), "its output is there")
    executor = driver.again()
    assert executor.poll(handle) is None
    assert reach(driver, handle) == where
    ask(where, "/second")
    until(lambda: "answered /second" in printed(handle), "its output is there")
    until(lambda: printed(handle).count("begins\n") == 2, "the output of both is there")
    assert printed(handle).count("answered /first\n") == 1
    executor.stop(handle, 1)
    assert ended(executor, handle).reason == STOPPED
    assert driver.left() == []


def test_where_no_service_can_be_reached_calls_go_through_the_api(
    driver: KubernetesDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(tunnels.API_SERVICE, "name", "no-such-service")
    handle = driver.executor.start(daemon(replicas=2))
    where = reach(driver, handle)
    assert where[0] == "127.0.0.1"
    first, second = answering(where, 2)
    kubectl("delete", "pod", first, "--namespace", driver.namespace, "--wait=false")
    until(lambda: ask(where) not in ("", first, second), "the cluster has replaced the pod")
    driver.executor.stop(handle, 1)
    assert ended(driver.executor, handle).reason == STOPPED
    assert ask(where) == ""


def test_a_tunnel_carries_long_answers_unchanged(driver: KubernetesDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(tunnels.API_SERVICE, "name", "no-such-service")
    echo = """
import os, socketserver
class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        while data := self.request.recv(65536):
            self.request.sendall(data)
socketserver.ThreadingTCPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
"""
    handle = driver.executor.start(daemon(echo))
    where = until(lambda: open_port(driver, handle), "it listens")
    sent = random.Random(7).randbytes(3_000_000)
    with socket.create_connection(where, timeout=30) as connection:
        sender = threading.Thread(target=connection.sendall, args=(sent,))
        sender.start()
        got = bytearray()
        while len(got) < len(sent):
            got += connection.recv(1 << 20) or pytest.fail(f"it ended after {len(got)} bytes")
        sender.join()
    assert bytes(got) == sent


def open_port(driver: KubernetesDriver, handle: str) -> tuple[str, int] | None:
    """Return the address of a daemon once its port is open."""
    try:
        where = driver.executor.address(handle)
        socket.create_connection(where, timeout=5).close()
    except (ExecutorUnavailable, OSError):
        return None
    return where


def test_what_its_owner_forgot_is_swept(driver: KubernetesDriver) -> None:
    handle = driver.executor.start(daemon())
    reach(driver, handle)
    driver.executor.close()
    for path in sorted(Path(handle).rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    Path(handle).rmdir()
    driver.again().poll(driver.executor.start(daemon("import time; time.sleep(1000)", name="another")))
    until(lambda: [name for name in driver.left() if "daemon-1" in name] == [], "nothing of it is left")

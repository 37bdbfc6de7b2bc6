"""Probes of containers: what they ask, and what many answers mean."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric_jobs.apis import Probe as Written
from fabric_jobs.runtime.cortex_worker import probes
from fabric_jobs.runtime.cortex_worker.ports import free_port
from fabric_jobs.runtime.cortex_worker.probes import Probe, Thresholds, Watch, ask

SECONDS = 30


@given(st.integers(0, 4), st.integers(0, 4), st.booleans(), st.lists(st.booleans(), max_size=30))
def test_as_many_answers_in_a_row_as_the_threshold_change_it(
    success: int, failure: int, begins: bool, answers: list[bool]
) -> None:
    state = Thresholds(Probe("a", "exec", success_threshold=success, failure_threshold=failure), is_well=begins)
    expected = begins
    for number, answer in enumerate(answers, start=1):
        limit = max(1, success if answer else failure)
        if answers[max(0, number - limit) : number] == [answer] * limit:
            expected = answer
        assert state.note(answer) is expected


class _Health(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert self.headers["User-Agent"] == "kube-probe/"
        self.send_response(int(self.path.strip("/")))
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Health) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.mark.parametrize("status", ["200", "204", "302", "399"])
def test_a_server_that_answers_well_is_healthy(port: int, status: str) -> None:
    assert ask(Probe("a", "http_get", port, f"/{status}")) == ""
    assert ask(Probe("a", "http_get", port, status)) == ""


@pytest.mark.parametrize("status", ["400", "404", "500"])
def test_a_server_that_answers_with_an_error_is_not(port: int, status: str) -> None:
    assert ask(Probe("a", "http_get", port, f"/{status}")) == f"HTTP {status}"


def test_a_connection_is_enough_for_a_socket_probe(port: int) -> None:
    assert ask(Probe("a", "tcp_socket", port)) == ""
    assert ask(Probe("a", "tcp_socket", free_port())) == "connection refused"


def test_a_server_that_says_nothing_or_no_http_is_not_healthy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        probe = Probe("a", "http_get", listener.getsockname()[1], timeout_seconds=0.05)
        assert ask(probe) == "no answer within 0.05 s"
    for said, reason in ((b"", "the server closed the connection"), (b"hello\n", "the answer is not HTTP")):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            threading.Thread(target=_say, args=(listener, said), daemon=True).start()
            assert ask(Probe("a", "http_get", listener.getsockname()[1], timeout_seconds=SECONDS)) == reason


def _say(listener: socket.socket, said: bytes) -> None:
    client, _ = listener.accept()
    with client:
        client.recv(1000)
        client.sendall(said)


def test_a_command_is_healthy_with_exit_code_0() -> None:
    def command(code: str) -> str:
        return ask(Probe("a", "exec", command=(sys.executable, "-c", code), timeout_seconds=SECONDS), {"WHY": "3"})

    assert command("") == ""
    assert command("import os; raise SystemExit(int(os.environ['WHY']))") == "exit code 3"
    slow = (sys.executable, "-c", "import time; time.sleep(60)")
    assert ask(Probe("a", "exec", command=slow, timeout_seconds=0.05)) == "no end within 0.05 s"
    assert ask(Probe("a", "exec", command=("/no/such/program",))) == "no such file or directory"


def test_what_an_author_writes_is_read_with_the_port_of_this_run() -> None:
    written = Written("http_get", 8080, "/ready", period_seconds=3, failure_threshold=2)
    found = probes.read("api", written._asdict(), {8080: 41000})
    assert found == Probe("api", "http_get", 41000, "/ready", period_seconds=3, failure_threshold=2)
    other = probes.read("api", Written("tcp_socket", 9000)._asdict(), {8080: 41000})
    assert other is not None
    assert other.port == 9000
    assert probes.read("api", None, {}) is None


def test_the_port_of_the_api_is_tried_unless_a_probe_does_it() -> None:
    tries, gets = Probe("a", "tcp_socket", 8080), Probe("a", "http_get", 8080)
    assert probes.with_default([tries], 8080) == [tries]
    (first, default) = probes.with_default([gets], 8080)
    assert (first, default.kind, default.port) == (gets, "tcp_socket", 8080)
    assert [probe.port for probe in probes.with_default([], 9)] == [9]


def test_a_watch_reports_when_a_server_comes_and_goes() -> None:
    number, changes, changed = free_port(), [], threading.Semaphore(0)
    probe = Probe("a", "tcp_socket", number, period_seconds=1000, failure_threshold=1)
    watch = Watch(probe, is_well=False)

    def note(found: Watch) -> None:
        changes.append(found.is_well)
        changed.release()

    watch.start(note)
    with socket.create_server(("127.0.0.1", number)):
        assert changed.acquire(timeout=SECONDS)
    watch.doubt()
    assert changed.acquire(timeout=SECONDS)
    assert changes == [True, False]
    assert watch.reason == "connection refused"

"""Callers that ask too much or take too long get an error and are disconnected, without effect on others."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from fabric_jobs.gateway.protocol import RESERVE
from tests.acceptance.live import PROJECT, Live, until
from tests.gateway.test_users import Caller

HELD = "open(ROOT / 'gate').read()"
SAVE = f"POST {PROJECT}/skills HTTP/1.1\r\nHost: x\r\n"


class Raw:
    """A connection that sends arbitrary bytes."""

    def __init__(self, caller: Caller) -> None:
        self._socket = socket.create_connection(caller.place, timeout=60)
        self._token = caller.address.token

    def send(self, *lines: str) -> None:
        """Send some header lines."""
        self._socket.sendall("".join(f"{line}\r\n" for line in lines).encode())

    def head(self, *lines: str) -> None:
        """Send the whole head of a POST that saves a skill."""
        self.send(f"POST {PROJECT}/skills HTTP/1.1", "Host: x", f"Authorization: Bearer {self._token}", *lines, "")

    def data(self, data: bytes) -> bool:
        """Send any data; return False if the other side has closed."""
        try:
            self._socket.sendall(data)
        except OSError:
            return False
        return True

    def answer(self) -> tuple[int, Any]:
        """Return status and body of the answer, and check that the other side then closes."""
        received = b""
        try:
            while part := self._socket.recv(65_536):
                received += part
        except ConnectionResetError:
            pass  # it closed before reading everything
        head, _, body = received.partition(b"\r\n\r\n")
        assert head, "it closed without a word"
        return int(head.split()[1]), json.loads(body)

    def close(self) -> None:
        """Close the connection, even in the middle of a request."""
        self._socket.close()


@contextmanager
def raw(caller: Caller) -> Iterator[Raw]:
    """Yield a connection that is closed afterwards."""
    made = Raw(caller)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def hasty(live: Live) -> Live:
    """Return a workspace whose gateway has short time limits."""
    live.environment |= {
        "FABRIC_JOBS_HEAD_SECONDS": "0.2",
        "FABRIC_JOBS_BODY_SECONDS": "0.2",
        "FABRIC_JOBS_READ_SECONDS": "0.2",
        "FABRIC_JOBS_CONNECTIONS": "4",
    }
    return live


def dropped(caller: Caller, reason: str) -> int:
    """Return how many connections the gateway has closed for one reason."""
    text = Caller.call(caller, "GET", "/metrics").body.decode()
    prefix = f'fabric_jobs_http_dropped_total{{reason="{reason}"}} '
    (line,) = [line for line in text.splitlines() if line.startswith(prefix)]
    return int(line.removeprefix(prefix))


def fine(live: Live) -> None:
    """Check that the gateway works as usual."""
    live.skill("echo", "print(message()['payload'], end='')")
    assert live.invoke("echo", 1)["response"] == "1"
    log = (live.state / "owner.log").read_text()
    assert "Traceback" not in log, log


def test_heads_over_the_limit(live: Live) -> None:
    caller = Caller(live, tcp=True)
    for lines in ((f"X: {'x' * 70_000}",), tuple(f"X-{number}: {'x' * 1000}" for number in range(70))):
        with raw(caller) as connection:
            connection.head(*lines, "Content-Length: 0")
            status, body = connection.answer()
            assert (status, body["success"]) == (431, False)
    with raw(caller) as connection:  # one that never ends
        connection.send(f"GET {PROJECT}/skills HTTP/1.1", "Host: x")
        until(lambda: not connection.data(b"x" * 65_536), "it is not read for ever")
    assert dropped(caller, "head") >= 3
    fine(live)


def test_slow_heads_and_bodies_are_dropped(hasty: Live) -> None:
    caller = Caller(hasty, tcp=True)
    with raw(caller) as head, raw(caller) as body, raw(caller) as silent:
        head.send(f"GET {PROJECT}/skills HTTP/1.1")
        body.head("Content-Length: 100")
        body.data(b'{"name": ')
        for connection, word in ((head, "head"), (body, "body"), (silent, "head")):
            status, answer = connection.answer()
            assert status == 408
            assert word in answer["message"]
    unix = Caller(hasty)
    assert (dropped(unix, "slow-head"), dropped(unix, "slow-body")) == (2, 1)
    assert unix.get("/skills")["skills"] == []
    fine(hasty)


def test_who_does_not_read_is_dropped(hasty: Live) -> None:
    hasty.skill("many", "for number in range(12_000): send_message('x' * 100)", receives="stream")
    activation = hasty.invoke("many")["activationId"]
    caller = Caller(hasty, tcp=True)
    with raw(caller) as connection:
        for _ in range(60):  # each answer has more than a megabyte
            connection.send(
                f"GET {PROJECT}/activations/{activation}/response HTTP/1.1",
                "Host: x",
                f"Authorization: Bearer {caller.address.token}",
                "",
            )
        unix = Caller(hasty)
        until(lambda: dropped(unix, "slow-reader"), "it is dropped")


def test_one_connection_too_many_is_refused_and_those_of_the_socket_are_not(hasty: Live) -> None:
    hasty.environment["FABRIC_JOBS_HEAD_SECONDS"] = "60"
    caller = Caller(hasty, tcp=True)
    kept = [Raw(caller) for _ in range(4)]
    for connection in kept:
        connection.send(f"GET {PROJECT}/skills HTTP/1.1")
    unix = Caller(hasty)
    until(lambda: b"fabric_jobs_http_connections 5" in unix.call("GET", "/metrics").body, "they are there")
    with raw(caller) as connection:
        connection.send(f"GET {PROJECT}/skills?a=/healthz HTTP/1.1", "Host: x", "")
        status, body = connection.answer()
        assert (status, "4 connections" in body["message"]) == (503, True)
    for path in ("/healthz", "/readyz?verbose"):  # else a busy gateway is killed in a cluster
        with raw(caller) as connection:
            connection.send(f"GET {path} HTTP/1.1", "Host: x", "Connection: close", "")
            assert connection.answer()[0] == 200
    fine(hasty)
    for connection in kept:
        connection.close()
    until(lambda: b"fabric_jobs_http_connections 1" in unix.call("GET", "/metrics").body, "they are gone")
    assert caller.get("/skills")["success"] is True


def test_the_reserve_for_probes_has_a_limit_too(hasty: Live) -> None:
    hasty.environment["FABRIC_JOBS_HEAD_SECONDS"] = "60"
    caller = Caller(hasty, tcp=True)
    kept = [Raw(caller) for _ in range(4 + RESERVE)]
    unix = Caller(hasty)
    count = f"fabric_jobs_http_connections {len(kept) + 1}".encode()
    until(lambda: count in unix.call("GET", "/metrics").body, "they are there")
    with raw(caller) as connection:
        assert connection.answer()[0] == 503
    for connection in kept:
        connection.close()


def test_bodies_in_chunks_are_counted_while_they_come(live: Live) -> None:
    caller = Caller(live, tcp=True)
    with raw(caller) as connection:
        connection.head("Transfer-Encoding: chunked", "Connection: close")
        piece = b"x" * (1 << 20)
        chunk = b"%x\r\n%s\r\n" % (len(piece), piece)
        sent = sum(connection.data(chunk) for _ in range(66))
        connection.data(b"0\r\n\r\n")
        status, body = connection.answer()
    assert (status, "limit" in body["message"]) == (413, True), sent
    with raw(caller) as connection:  # only the framing of chunks
        connection.head("Transfer-Encoding: chunked")
        until(lambda: not connection.data(b"1" + b";x" * 60_000 + b"\r\nx\r\n"), "it is not read for ever")
    fine(live)


def test_senders_that_stop_half_way_leave_nothing_behind(live: Live) -> None:
    caller = Caller(live, tcp=True)
    for lines in (("Content-Length: 1000",), ("Transfer-Encoding: chunked",)):
        with raw(caller) as connection:
            connection.head(*lines)
            connection.data(b'{"name": "half"')
    with raw(caller) as connection:
        connection.head("Transfer-Encoding: chunked", "Connection: close")
        connection.data(b"zz\r\nno chunk\r\n")
        assert connection.answer()[0] == 400
    assert caller.get("/skills")["skills"] == []
    fine(live)


def test_a_signal_lets_what_is_under_way_be_answered(live: Live) -> None:
    live.skill("held", HELD)
    live.gate("gate")
    serve = live.start("serve")
    serve.wait_for("Ctrl-C ends it")
    activation = live.detach("held")
    caller = Caller(live, tcp=True)
    polls = [Raw(caller) for _ in range(3)]
    last = caller.get("/events")["events"][-1]["number"] + 100
    paths = [f"/events?after={last}&wait=60", f"/activations/{activation}/follow?after={last}&wait=60"]
    for connection, path in zip(polls, paths, strict=False):
        token = f"Authorization: Bearer {caller.address.token}"
        connection.send(f"GET {PROJECT}{path} HTTP/1.1", "Host: x", token, "")
    polls[2].head("Content-Length: 2")  # its body never comes
    until(lambda: b"fabric_jobs_http_waiting 2" in caller.call("GET", "/metrics").body, "they wait")
    os.kill(serve.pid, signal.SIGTERM)
    for connection in polls[:2]:
        assert connection.answer()[0] == 200
    assert serve.finish().code == 0
    with pytest.raises(ConnectionRefusedError):
        Raw(caller)
    assert polls[2].answer()[0] == 503
    for connection in polls:
        connection.close()
    live.ok("activations", "cancel", activation)


def test_a_definition_has_a_limit_and_a_long_one_keeps_nobody_waiting(live: Live) -> None:
    caller = Caller(live)
    document = {"name": "long", "tags": [{"label": "a", "value": "b"}] * 50_000}
    answer = caller.call("POST", f"{PROJECT}/skills", json.dumps(document).encode())
    assert answer.status == 413
    assert "the skill is over the limit of 1,048,576 bytes" in json.loads(answer.body)["message"]
    slow = json.dumps({"name": "slow", "actions": [{}] * 20_000}).encode()
    with ThreadPoolExecutor(1) as pool:
        began = time.monotonic()
        posted = pool.submit(lambda: (Caller(live).call("POST", f"{PROJECT}/skills", slow), time.monotonic() - began))
        longest = 0.0
        while not posted.done():
            asked = time.monotonic()
            caller.get("/skills")
            longest = max(longest, time.monotonic() - asked)
        answer, seconds = posted.result()
    assert answer.status == 400
    assert longest < seconds / 2, f"somebody waited {longest:.2f} s of {seconds:.2f} s"

"""The relay: what programs of an attempt ask the gateway, without a token of their own."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer
from typing import Any

import pytest
import requests

from fabric_jobs.runtime.cortex_worker import relay
from fabric_jobs.runtime.cortex_worker.relay import Relay

SECONDS = 30.0


class _Gateway(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        size = self.headers["content-length"]
        body = self.rfile.read(int(size)) if size else b""
        headers = {name.lower(): value for name, value in self.headers.items()}
        told = {"method": self.command, "path": self.path, "headers": headers, "body": body.decode()}
        text = json.dumps(told).encode()
        self.send_response(418 if self.path == "/teapot" else 200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(text), text))
        self.close_connection = headers.get("connection") == "close"

    do_POST = do_DELETE = do_GET

    def address_string(self) -> str:
        return "here"

    def log_message(self, format: str, *args: object) -> None:
        pass


class _UnixServer(ThreadingMixIn, UnixStreamServer):
    daemon_threads = True


@pytest.fixture(params=["tcp", "unix"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    path = str(tmp_path / "gateway")
    made: Any = (
        ThreadingHTTPServer(("127.0.0.1", 0), _Gateway) if request.param == "tcp" else _UnixServer(path, _Gateway)
    )
    with made as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield path if request.param == "unix" else server.server_address
        server.shutdown()


@pytest.fixture
def hidden(address: Any) -> Iterator[Relay]:
    made = Relay.hidden(address, "a.b.c")
    yield made
    made.close()


def test_a_request_reaches_the_gateway_with_the_token(hidden: Relay, address: Any) -> None:
    answer = requests.post(f"{hidden.url}/batch/hello?dryRun=true", json={"workers": 1}, timeout=SECONDS)
    told = answer.json()
    assert answer.status_code == 200
    assert (told["method"], told["path"], told["body"]) == ("POST", "/batch/hello?dryRun=true", '{"workers": 1}')
    assert told["headers"]["authorization"] == "Bearer a.b.c"
    host = "localhost" if isinstance(address, str) else f"127.0.0.1:{address[1]}"
    assert told["headers"]["host"] == host


def test_many_requests_of_a_session_and_statuses_pass(hidden: Relay) -> None:
    with requests.Session() as session:
        for number in range(20):
            assert session.get(f"{hidden.url}/{number}", timeout=SECONDS).json()["path"] == f"/{number}"
        assert session.delete(f"{hidden.url}/teapot", timeout=SECONDS).status_code == 418


def test_a_token_of_the_program_itself_stays(hidden: Relay) -> None:
    told = requests.get(f"{hidden.url}/", headers={"Authorization": "Bearer own"}, timeout=SECONDS).json()
    assert told["headers"]["authorization"] == "Bearer own"


def test_a_body_of_any_size_passes(hidden: Relay) -> None:
    body = "x" * 3_000_000
    assert requests.post(f"{hidden.url}/", data=body, timeout=SECONDS).json()["body"] == body


@pytest.mark.parametrize("path", ["/batch/hello", "/", "/wrong/batch/hello", ""])
def test_who_does_not_know_the_address_gets_nothing(hidden: Relay, path: str) -> None:
    answer = requests.get(f"http://127.0.0.1:{hidden.port}{path}", timeout=SECONDS)
    assert answer.status_code == 404
    assert answer.json()["kind"] == "not_found"


def test_a_path_that_only_begins_like_the_address_gets_nothing(hidden: Relay) -> None:
    assert requests.get(f"{hidden.url}x/", timeout=SECONDS).status_code == 404


def test_where_only_the_attempt_connects_no_secret_is_needed(address: Any) -> None:
    open_one = Relay(address, "a.b.c")
    assert requests.get(f"http://127.0.0.1:{open_one.port}/tasks/x", timeout=SECONDS).json()["path"] == "/tasks/x"
    open_one.close()


def test_a_port_that_is_taken_is_an_error(hidden: Relay, address: Any) -> None:
    with pytest.raises(OSError, match="in use"):
        Relay(address, "a.b.c", port=hidden.port)


def test_an_upgrade_stays_one(hidden: Relay) -> None:
    headers = {"Connection": "keep-alive, Upgrade", "Upgrade": "websocket"}
    told = requests.get(f"{hidden.url}/streamlogs/x", headers=headers, timeout=SECONDS).json()
    assert (told["headers"]["connection"], told["headers"]["upgrade"]) == ("Upgrade", "websocket")


def test_a_gateway_that_stays_away_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "PATIENCE_SECONDS", 0.05)
    lonely = Relay.hidden(str(tmp_path / "nobody"), "a.b.c")
    answer = requests.get(f"{lonely.url}/", timeout=SECONDS)
    assert (answer.status_code, answer.json()["kind"]) == (503, "unavailable")
    lonely.close()


def test_a_gateway_that_comes_back_gets_the_request(tmp_path: Path) -> None:
    path = tmp_path / "later"
    waiting = Relay.hidden(str(path), "a.b.c")
    found: list[int] = []
    asking = threading.Thread(target=lambda: found.append(requests.get(f"{waiting.url}/", timeout=SECONDS).status_code))
    asking.start()
    with _UnixServer(str(path), _Gateway) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        asking.join(SECONDS)
        server.shutdown()
    assert found == [200]
    waiting.close()


def test_what_is_no_request_is_dropped(hidden: Relay) -> None:
    for said in (b"", b"GET", b"x" * (relay.HEAD_BYTES + 10)):
        with socket.create_connection(("127.0.0.1", hidden.port), SECONDS) as client, suppress(OSError):
            client.sendall(said)
            client.shutdown(socket.SHUT_WR)
            assert client.recv(100) == b""  # or an error, since there is unread input

"""The HTTP connection of a worker to its server, with a real server that answers as it is told, byte by byte."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from fabric_jobs.runtime.cortex_worker.ports import free_port
from fabric_jobs.runtime.cortex_worker.posting import DRAINED_BYTES, KEPT_BYTES, Reply, Server, TimedOut, Unanswered

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
Connection = list[bytes | None]  # the answers to its requests; None: it is closed without one


class Told:
    """Accepts connections and answers each with what it is told. `asked` are the requests."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.connections: list[Connection] = []
        self.release = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def close(self) -> None:
        self.release.set()
        self._listener.close()

    def _run(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client:
                self._serve(client, self.connections.pop(0) if self.connections else [OK] * 100)

    def _serve(self, client: socket.socket, answers: Connection) -> None:
        with client.makefile("rb") as file:
            for answer in answers:
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    line = file.readline()
                    if not line:
                        return
                    head += line
                size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                self.asked.append(head + file.read(size))
                if answer is None:
                    return
                if answer == b"never":
                    self.release.wait(30)
                    return
                client.sendall(answer)


@pytest.fixture
def told() -> Iterator[Told]:
    made = Told()
    yield made
    made.close()


@pytest.fixture
def server(told: Told) -> Iterator[Server]:
    made = Server(told.port)
    yield made
    made.close()


def test_requests_share_a_connection_and_have_their_headers(told: Told, server: Server) -> None:
    told.connections = [[OK, OK]]
    for body in (b"[1]", b"[2]"):
        assert server.post("/", body, {"X-Cortex-Job-ID": "7f"}) == Reply(200, b"ok")
    head, _, body = told.asked[0].partition(b"\r\n\r\n")
    assert head.splitlines() == [
        b"POST / HTTP/1.1",
        f"Host: 127.0.0.1:{told.port}".encode(),
        b"Content-Type: application/json",
        b"Content-Length: 3",
        b"X-Cortex-Job-ID: 7f",
    ]
    assert body == b"[1]"
    assert told.asked[1].endswith(b"[2]")


@pytest.mark.parametrize(
    ("answer", "reply"),
    [
        (b"HTTP/1.1 500 Oh\r\nContent-Length: 4\r\n\r\nwhy?", Reply(500, b"why?")),
        (b"HTTP/1.1 204 None\r\n\r\n", Reply(204, b"")),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, Reply(200, b"ok")),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: CHUNKED\r\n\r\n2;x\r\nok\r\n0\r\nT: 1\r\n\r\n", Reply(200, b"ok")),
        (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", Reply(200, b"ok")),
    ],
    ids=["an error", "no content", "continue", "chunks", "bare newlines"],
)
def test_answers_leave_the_connection_for_the_next_request(
    told: Told, server: Server, answer: bytes, reply: Reply
) -> None:
    told.connections = [[answer, OK], []]
    assert server.post("/", b"[]", {}) == reply
    assert server.post("/", b"[]", {}) == Reply(200, b"ok")
    assert told.connections == [[]]


@pytest.mark.parametrize(
    ("head", "closes"),
    [
        (b"HTTP/1.0 200 OK\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n", True),
    ],
)
def test_an_answer_that_ends_with_its_connection(told: Told, server: Server, head: bytes, closes: bool) -> None:
    told.connections = [[head + b"ok"], [OK]]
    assert server.post("/", b"[]", {}) == Reply(200, b"ok")
    assert server.post("/", b"[]", {}) == Reply(200, b"ok")
    assert told.connections == []


def test_of_a_long_body_the_beginning_is_kept(told: Told, server: Server) -> None:
    size = 3 * KEPT_BYTES
    told.connections = [[b"HTTP/1.1 500 Oh\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size, OK]]
    assert server.post("/", b"[]", {}) == Reply(500, b"x" * KEPT_BYTES)
    assert server.post("/", b"[]", {}) == Reply(200, b"ok")


def test_a_connection_with_too_much_in_it_is_not_used_again(told: Told, server: Server) -> None:
    size = DRAINED_BYTES + 10
    told.connections = [[b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size], [OK]]
    assert server.post("/", b"[]", {}).status == 200
    assert server.post("/", b"[]", {}) == Reply(200, b"ok")


def test_a_body_of_any_size_arrives(told: Told, server: Server) -> None:
    body = b"[" + b"1," * 1_000_000 + b"1]"
    assert server.post("/", body, {}).status == 200
    assert told.asked[0].endswith(b"\r\n" + body)


def test_a_connection_that_was_closed_meanwhile_is_opened_anew(told: Told, server: Server) -> None:
    told.connections = [[OK], [OK]]
    assert server.post("/", b"[1]", {}).status == 200
    assert server.post("/", b"[2]", {}).status == 200
    assert [each[-3:] for each in told.asked] == [b"[1]", b"[2]"]


def test_a_request_that_was_never_answered_is_not_repeated(told: Told, server: Server) -> None:
    told.connections = [[None], [OK]]
    with pytest.raises(Unanswered, match="closed the connection"):
        server.post("/", b"[]", {})
    assert len(told.asked) == 1


def test_nobody_listens() -> None:
    with pytest.raises(Unanswered, match="refused"):
        Server(free_port()).post("/", b"[]", {})


@pytest.mark.parametrize(
    "answer",
    [
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok",
        b"HTTP/1.1\r\n\r\n",
    ],
)
def test_what_is_no_answer(told: Told, server: Server, answer: bytes) -> None:
    told.connections = [[answer]]
    with pytest.raises(Unanswered):
        server.post("/", b"[]", {})
    assert server.post("/", b"[]", {}).status == 200


@pytest.mark.parametrize("answer", [b"never", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no"])
def test_an_answer_that_takes_too_long(told: Told, server: Server, answer: bytes) -> None:
    told.connections = [[answer, b"never"]]
    with pytest.raises(TimedOut):
        server.post("/", b"[]", {}, 0.05)
    told.release.set()
    assert server.post("/", b"[]", {}, 30.0).status == 200


def test_a_time_limit_holds_for_one_request_only(told: Told, server: Server) -> None:
    ask: Callable[[float | None], int] = lambda seconds: server.post("/", b"[]", {}, seconds).status  # noqa: E731
    assert [ask(30.0), ask(None), ask(30.0)] == [200, 200, 200]

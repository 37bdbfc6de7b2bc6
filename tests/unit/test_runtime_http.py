"""The small HTTP client: whole answers from any pieces, and one error for all failures."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fabric_jobs.runtime.fabric_skill.http import Answer, Connection, Disconnected


@contextmanager
def server(path: Path, *conversations: Callable[[socket.socket], None]) -> Iterator[Connection]:
    """Serve one conversation per connection, on a Unix socket."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(str(path / "s"))
    listening.listen()

    def serve() -> None:
        for talk in conversations:
            peer, _ = listening.accept()
            with peer:
                talk(peer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    connection = Connection(str(path / "s"), "token")
    try:
        yield connection
    finally:
        connection.close()
        thread.join(30)
        listening.close()


def until_blank_line(peer: socket.socket) -> bytes:
    found = b""
    while b"\r\n\r\n" not in found:
        found += peer.recv(65_536)
    return found


def answering(*pieces: bytes) -> Callable[[socket.socket], None]:
    def talk(peer: socket.socket) -> None:
        until_blank_line(peer)
        for piece in pieces:
            peer.sendall(piece)

    return talk


def test_a_request_says_who_and_how_long(tmp_path: Path) -> None:
    seen: list[bytes] = []

    def talk(peer: socket.socket) -> None:
        seen.append(peer.recv(65_536))
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    with server(tmp_path, talk) as connection:
        connection.request("POST", "/x?y=1", b"body", headers={"Idempotency-Key": "k"})
    head, _, body = seen[0].partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /x?y=1 HTTP/1.1"
    assert {"Authorization: Bearer token", "Content-Length: 4", "Idempotency-Key: k"} < set(lines)
    assert body == b"body"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_an_answer_may_come_in_pieces(tmp_path: Path, size: int) -> None:
    whole = b"HTTP/1.1 404 Not Found\r\nX-One: a: b \r\nCONTENT-LENGTH: 11\r\n\r\nhello\r\n\r\nxy"
    pieces = [whole[start : start + size] for start in range(0, len(whole), size)]
    with server(tmp_path, answering(*pieces)) as connection:
        answer = connection.request("GET", "/")
    assert (answer.status, answer.headers["x-one"], answer.body) == (404, "a: b", b"hello\r\n\r\nxy")


def test_two_answers_in_one_piece_are_two_answers(tmp_path: Path) -> None:
    one, two = (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n" + digit for digit in (b"1", b"2"))

    def talk(peer: socket.socket) -> None:
        text = b""
        while text.count(b"\r\n\r\n") < 2:
            text += peer.recv(65_536)
        peer.sendall(one + two)

    with server(tmp_path, talk) as connection:
        connection.send("GET", "/1")
        connection.send("GET", "/2")
        assert [connection.receive().body, connection.receive().body] == [b"1", b"2"]


def test_a_large_body_goes_and_comes(tmp_path: Path) -> None:
    body = b"x" * 3_000_000

    def talk(peer: socket.socket) -> None:
        text = until_blank_line(peer)
        while len(text) < len(body):
            text += peer.recv(1 << 20)
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    with server(tmp_path, talk) as connection:
        assert connection.request("POST", "/", body).body == body


@pytest.mark.parametrize(
    "piece",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
    ],
)
def test_whatever_breaks_is_disconnected_and_the_next_request_connects_anew(tmp_path: Path, piece: bytes) -> None:
    good = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    with server(tmp_path, answering(piece), good) as connection:
        with pytest.raises(Disconnected):
            connection.request("GET", "/")
        with pytest.raises(Disconnected):
            connection.receive()
        assert connection.request("GET", "/") == Answer(200, {"content-length": "2"}, b"ok")


def test_a_server_that_closes_after_its_answer_is_connected_anew(tmp_path: Path) -> None:
    closing = answering(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\n1")
    good = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2")
    with server(tmp_path, closing, good) as connection:
        assert [connection.request("GET", "/").body for _ in range(2)] == [b"1", b"2"]


def test_a_full_disk_is_no_lost_connection(tmp_path: Path) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
    with (
        server(tmp_path, answering(head + b"no"), answering(head + b"ok")) as connection,
        open("/dev/full", "wb", buffering=0) as full,
    ):
        connection.send("GET", "/")
        with pytest.raises(OSError, match="No space left") as caught:
            connection.receive(into=full)
        assert not isinstance(caught.value, Disconnected)
        assert connection.request("GET", "/").body == b"ok"


def test_nobody_there_is_disconnected(tmp_path: Path) -> None:
    with pytest.raises(Disconnected):
        Connection(str(tmp_path / "nobody"), "token").request("GET", "/")


def test_an_answer_that_does_not_come_in_time_is_disconnected(tmp_path: Path) -> None:
    done = threading.Event()

    def silent(peer: socket.socket) -> None:
        assert done.wait(30)

    with server(tmp_path, silent) as connection:
        connection.send("GET", "/")
        with pytest.raises(Disconnected):
            connection.receive(timeout=0.05)
        done.set()

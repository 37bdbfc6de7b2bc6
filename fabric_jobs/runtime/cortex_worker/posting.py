"""A keep-alive HTTP connection to the server of a container. Like `fabric_skill.http`, it does without `http.client`."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

HOST = "127.0.0.1"
CONNECT_SECONDS = 10.0
KEPT_BYTES = 4096  # of a body
DRAINED_BYTES = 1 << 20  # a connection whose answer is longer is not used again
LINE_BYTES = 1 << 16
LEAST_SECONDS = 0.001  # of a time limit


class Unanswered(Exception):
    """There is no valid answer: the server refused or closed the connection, or what it sent is not HTTP."""


class TimedOut(Exception):
    """The answer did not come in time."""


class Reply(NamedTuple):
    """What the server answered."""

    status: int
    body: bytes  # its first KEPT_BYTES


class _Head(NamedTuple):
    status: int
    version: str
    headers: Mapping[str, str]  # with names in lower case


class Server:
    """The server on a port of this machine. One thread uses it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None
        self._file: Any = None  # reads from the socket
        self._deadline: float | None = None

    def post(self, path: str, body: bytes, headers: Mapping[str, str], seconds: float | None = None) -> Reply:
        """Post JSON and return the answer. Raise Unanswered, or TimedOut after `seconds`.

        A kept connection that the server has closed meanwhile is opened anew, and the request is repeated.
        """
        self._deadline = None if seconds is None else time.monotonic() + seconds
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {HOST}:{self._port}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n{lines}\r\n"
        ).encode("latin-1")
        was_open = self._socket is not None
        try:
            try:
                return self._exchange(head, body)
            except _Stale as error:
                self.close()
                if not was_open:
                    raise Unanswered(str(error)) from error
                return self._exchange(head, body)
        except (OSError, ValueError, IndexError, _Stale) as error:
            self.close()
            if isinstance(error, OSError) and self._is_late():
                raise TimedOut from error
            raise Unanswered(str(error)) from error

    def close(self) -> None:
        """Close the connection; the next `post` opens another."""
        if self._socket is not None:
            self._file.close()
            self._socket.close()
        self._socket = self._file = None

    def _exchange(self, head: bytes, body: bytes) -> Reply:
        connection = self._connected()
        connection.settimeout(self._left())
        try:
            connection.sendall(head + body if len(body) < LINE_BYTES else head)
            if len(body) >= LINE_BYTES:
                connection.sendall(body)
            first = self._line()
        except (BrokenPipeError, ConnectionResetError) as error:
            raise _Stale(f"the server closed the connection: {error.strerror}") from error
        if not first:
            raise _Stale("the server closed the connection without an answer")
        answer = self._head(first)
        while answer.status in (100, 102, 103):
            answer = self._head(self._line())
        return self._reply(answer)

    def _connected(self) -> socket.socket:
        if self._socket is None:
            left = self._left()
            made = socket.create_connection((HOST, self._port), CONNECT_SECONDS if left is None else left)
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket, self._file = made, made.makefile("rb")
        return self._socket

    def _reply(self, answer: _Head) -> Reply:
        """Read the body, and close the connection unless it can be used again."""
        headers, is_kept = answer.headers, answer.version == "HTTP/1.1"
        if "close" in headers.get("connection", "").lower():
            is_kept = False
        if answer.status in (204, 304):
            body = b""
        elif "chunked" in headers.get("transfer-encoding", "").lower():
            body, is_whole = self._chunks()
            is_kept = is_kept and is_whole
        elif "content-length" in headers:
            size = int(headers["content-length"])
            body = self._exactly(min(size, DRAINED_BYTES))
            is_kept = is_kept and size <= DRAINED_BYTES
        else:
            body, is_kept = self._file.read(KEPT_BYTES), False
        if not is_kept:
            self.close()
        return Reply(answer.status, body[:KEPT_BYTES])

    def _chunks(self) -> tuple[bytes, bool]:
        """Return the beginning of a body in chunks, and whether it was read to its end."""
        body, size = b"", 0
        while size <= DRAINED_BYTES:
            length = int(self._line().split(b";")[0], 16)
            if length == 0:
                while self._line().strip():  # trailers
                    pass
                return body, True
            part = self._exactly(min(length, DRAINED_BYTES))
            if length > DRAINED_BYTES:
                return body + part, False
            self._line()
            size += length
            body += part if len(body) < KEPT_BYTES else b""
        return body, False

    def _head(self, first: bytes) -> _Head:
        version, _, rest = first.decode("latin-1").partition(" ")
        if not version.startswith("HTTP/1."):
            raise ValueError(f"the server on port {self._port} does not speak HTTP/1.1")
        headers: dict[str, str] = {}
        while True:
            line = self._line().strip()
            if not line:
                return _Head(int(rest.split(" ")[0]), version, headers)
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()

    def _line(self) -> bytes:
        self._hurry()
        return bytes(self._file.readline(LINE_BYTES))

    def _exactly(self, size: int) -> bytes:
        self._hurry()
        found = bytes(self._file.read(size))
        if len(found) < size:
            raise OSError("the server closed the connection in the middle of its answer")
        return found

    def _hurry(self) -> None:
        if self._deadline is not None and self._socket is not None:
            if self._is_late():
                raise OSError("the answer takes too long")
            self._socket.settimeout(self._left())

    def _left(self) -> float | None:
        return None if self._deadline is None else max(LEAST_SECONDS, self._deadline - time.monotonic())

    def _is_late(self) -> bool:
        return self._deadline is not None and time.monotonic() >= self._deadline - LEAST_SECONDS


class _Stale(Exception):
    """The connection was closed before an answer began."""

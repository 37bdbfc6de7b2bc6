"""A small HTTP/1.1 client over one connection; `http.client` would double a job's start time."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # Python 3.9 cannot evaluate it
    Address = str | tuple[str, int]  # path of a Unix socket, or host and port


class Disconnected(OSError):
    """There is no connection, or it was lost; the request may or may not have arrived."""


@dataclass(frozen=True)
class Answer:
    """A response; `headers` have lower-case names."""

    status: int
    headers: dict[str, str]
    body: bytes


class Connection:
    """One keep-alive connection. `send` and `receive` are separate, so that the program can work meanwhile."""

    def __init__(self, address: Address, token: str, *, connect_seconds: float = 10.0) -> None:
        self._address = address
        self._token = token
        self._connect_seconds = connect_seconds
        self._socket: socket.socket | None = None
        self._buffer = b""

    def send(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        """Send a request; raise Disconnected when that fails."""
        host = "localhost" if isinstance(self._address, str) else f"{self._address[0]}:{self._address[1]}"
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {self._token}\r\n"
            f"Content-Length: {len(body)}\r\n{_lines(headers)}\r\n"
        ).encode()
        try:
            if self._socket is None:
                self._socket = self._connect()
            if len(body) < 65_536:
                self._socket.sendall(head + body)
            else:
                self._socket.sendall(head)
                self._socket.sendall(body)
        except OSError as error:
            self.close()
            raise Disconnected(str(error)) from error

    def receive(self, timeout: float | None = None) -> Answer:
        """Return the response to the oldest request; raise Disconnected when there is none (within `timeout` seconds)."""
        try:
            if self._socket is None:
                raise Disconnected("the connection is closed")
            self._socket.settimeout(timeout)
            head = self._until_blank_line()
            lines = head.decode("latin-1").split("\r\n")
            status = int(lines[0].split(" ", 2)[1])
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
            body = self._exactly(int(headers.get("content-length", "0")))
        except (OSError, ValueError, IndexError) as error:
            self.close()
            raise Disconnected(str(error)) from error
        if headers.get("connection", "").lower() == "close":
            self.close()
        return Answer(status, headers, body)

    def request(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        headers: dict[str, str] | None = None,
        timeout: float | None = None,
    ) -> Answer:
        """Send a request and return the response."""
        self.send(method, path, body, headers)
        return self.receive(timeout)

    def close(self) -> None:
        """Close the connection; the next `send` opens another."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None
        self._buffer = b""

    def _connect(self) -> socket.socket:
        if isinstance(self._address, str):
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                connection.connect(self._address)
            except OSError:
                connection.close()
                raise
            return connection
        connection = socket.create_connection(self._address, timeout=self._connect_seconds)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(None)
        return connection

    def _until_blank_line(self) -> bytes:
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            self._buffer += self._more(65_536)
        head, self._buffer = self._buffer[:end], self._buffer[end + 4 :]
        return head

    def _exactly(self, size: int) -> bytes:
        if len(self._buffer) >= size:
            body, self._buffer = self._buffer[:size], self._buffer[size:]
            return body
        parts = [self._buffer]
        missing = size - len(self._buffer)
        while missing > 0:
            parts.append(self._more(min(missing, 1 << 20)))
            missing -= len(parts[-1])
        self._buffer = b""
        return b"".join(parts)

    def _more(self, size: int) -> bytes:
        assert self._socket is not None
        part = self._socket.recv(size)
        if not part:
            raise Disconnected("the other side closed the connection")
        return part


def _lines(headers: dict[str, str] | None) -> str:
    return "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())

"""A small HTTP/1.1 client over one connection; `http.client` would double a job's start time."""

from __future__ import annotations

import socket

TYPE_CHECKING = False  # `typing` is slow to import, and so is `dataclasses`
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, BinaryIO

    Address = str | tuple[str, int]  # path of a Unix socket, or host and port; Python 3.9 cannot evaluate it


class Disconnected(OSError):
    """There is no connection, or it was lost; the request may or may not have arrived."""


class Answer:
    """A response; `headers` have lower-case names."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    def __eq__(self, other: object) -> bool:
        return repr(self) == repr(other)

    def __repr__(self) -> str:
        return f"Answer({self.status}, {self.headers}, {self.body!r})"


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

    def receive(self, timeout: float | None = None, into: BinaryIO | None = None) -> Answer:
        """Return the response to the oldest request; raise Disconnected when there is none (within `timeout` seconds).

        The body of a success goes `into` a file, if there is one; its own errors are raised as they are, such as for a full disk.
        """
        try:
            if self._socket is None:
                raise Disconnected("the connection is closed")
            self._socket.settimeout(timeout)
            head = self._until_blank_line()
            lines = head.decode("latin-1").split("\r\n")
            status = int(lines[0].split(" ", 2)[1])
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
            size = int(headers.get("content-length", "0"))
        except (OSError, ValueError, IndexError) as error:
            self.close()
            raise Disconnected(str(error)) from error
        try:
            parts = self._parts(size)
            if into is not None and status < 300:
                into.writelines(parts)
            body = b"".join(parts)
        except OSError:
            self.close()
            raise
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
        host, port = self._address
        place: Any = (host.encode() if host.isascii() else host, port)  # a str would load 10 ms of codecs
        connection = socket.create_connection(place, timeout=self._connect_seconds)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(None)
        return connection

    def _until_blank_line(self) -> bytes:
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            self._buffer += self._more(65_536)
        head, self._buffer = self._buffer[:end], self._buffer[end + 4 :]
        return head

    def _parts(self, size: int) -> Iterator[bytes]:
        part, self._buffer = self._buffer[:size], self._buffer[size:]
        yield part
        missing = size - len(part)
        while missing > 0:
            part = self._more(min(missing, 1 << 20))
            yield part
            missing -= len(part)

    def _more(self, size: int) -> bytes:
        assert self._socket is not None
        try:
            part = self._socket.recv(size)
        except OSError as error:
            raise Disconnected(str(error)) from error
        if not part:
            raise Disconnected("the other side closed the connection")
        return part


def _lines(headers: dict[str, str] | None) -> str:
    return "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())

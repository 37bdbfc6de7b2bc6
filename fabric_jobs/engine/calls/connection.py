"""One keep-alive HTTP connection of the engine to a daemon or an external API."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial

import httptools

from fabric_jobs.durations import spelled
from fabric_jobs.engine.calls.encoding import codings_of
from fabric_jobs.errors import InvalidInput
from fabric_jobs.executors.proxies import Proxy

BODY_BYTES = 64 << 20  # of an answer; a record has its own limit

HEAD_BYTES = 64 << 10  # of a proxy's answer to CONNECT
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # a method, or the name of a header
CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class CallFailed(Exception):
    """There was no answer; the request may or may not have arrived."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request to a server, without its body."""

    method: str
    path: str  # with its query
    host: str  # as in the header Host
    headers: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise InvalidInput for a value that would break the request's lines. It is not shown, since it may be secret."""
        lines = {"method": self.method, "path": self.path, "host": self.host}
        lines |= {f"value of the header {name!r}": value for name, value in self.headers.items()}
        wrong = [what for what, value in lines.items() if CONTROL.search(value)]
        wrong += [f"name of the header {name!r}" for name in self.headers if not TOKEN.fullmatch(name)]
        if wrong or not TOKEN.fullmatch(self.method):
            raise InvalidInput(
                f"the {(wrong or ['method'])[0]} of the request contains a line break or another character that HTTP forbids.",
                hint="Correct the property it comes from; a YAML block that begins with '|' ends with a line break.",
            )

    def encode(self, body: bytes) -> bytes:
        """Return the request's bytes."""
        if not body and self.method in ("GET", "HEAD", "DELETE", "OPTIONS"):
            return self._head + b"\r\n"
        return b"%sContent-Length: %d\r\n\r\n%s" % (self._head, len(body), body)

    @cached_property
    def _head(self) -> bytes:
        """The lines that are the same for every body."""
        own = {name.lower() for name in self.headers}
        lines = [f"{self.method} {self.path} HTTP/1.1", *(f"{name}: {value}" for name, value in self.headers.items())]
        if "host" not in own:
            lines.insert(1, f"Host: {self.host}")
        return "".join(f"{line}\r\n" for line in lines).encode()


@dataclass(frozen=True, slots=True)
class Reply:
    """A server's answer."""

    status: int
    body: bytes  # as received, without the framing of chunks
    codings: tuple[str, ...] = ()  # applied to the body
    content_type: str = ""
    location: str = ""  # of a redirect


class Connection(asyncio.Protocol):
    """One request at a time; closed for good after a failure, a timeout, or when the server says so."""

    def __init__(self, most: int = BODY_BYTES) -> None:
        """`most` is the limit of an answer's body, in bytes."""
        self.closed = False
        self._most = most
        self._transport: asyncio.WriteTransport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._waiting: asyncio.Future[Reply] | None = None
        self._parts: list[bytes] = []
        self._size = 0
        self._headers: list[tuple[str, str]] = []
        self._is_head = False  # an answer to HEAD has the headers of a body, but no body
        self._begun = False  # its headers have arrived
        self._framed = False  # the answer says where it ends; else it ends with the connection

    async def ask(self, data: bytes, seconds: float) -> Reply:
        """Send an encoded request and return its answer; raise CallFailed when there is none within `seconds`."""
        if self.closed or self._transport is None:
            raise CallFailed("the connection is closed")
        self._waiting = asyncio.get_running_loop().create_future()
        self._is_head, self._begun = data.startswith(b"HEAD "), False
        self._transport.write(data)
        try:
            async with asyncio.timeout(seconds):
                return await self._waiting
        except TimeoutError:
            raise CallFailed(f"there was no answer within {spelled(seconds)}") from None
        finally:
            if not self._waiting.done() or self._waiting.cancelled() or self._waiting.exception() is not None:
                self.close()  # a late answer would be taken for that of the next request

    def close(self) -> None:
        """Close the connection."""
        self.closed = True
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport; called by the event loop."""
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """The server or the network ended it."""
        self.closed = True
        if self._waiting is None or self._waiting.done():
            return
        if self._begun and not self._framed and exc is None:
            self.on_message_complete()
        else:
            self._waiting.set_exception(CallFailed(f"the connection was lost ({exc or 'closed by the other side'})"))

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        if self._waiting is None or self._waiting.done():
            self.close()  # unsolicited: it would be taken for the answer to the next request
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(f"the answer is not HTTP: {error}")
        except httptools.HttpParserUpgrade:
            self._fail("the server switched to another protocol without being asked")

    def on_message_begin(self) -> None:
        """An answer begins."""
        self._parts, self._size, self._headers, self._begun = [], 0, [], False

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header of the answer."""
        self._headers.append((name.decode("latin-1").lower(), value.decode("latin-1").strip()))

    def on_headers_complete(self) -> None:
        """The headers are complete, and say how the answer ends."""
        self._begun = self._is_final
        transfer = ",".join(self._values("transfer-encoding")).lower()
        self._framed = transfer.endswith("chunked") if transfer else bool(self._values("content-length"))
        if self._is_head and self._begun:
            self.close()  # the parser would wait for the body
            self._give()

    def on_body(self, data: bytes) -> None:
        """A part of the body."""
        self._size += len(data)
        if self._size > self._most:
            self._fail(f"the answer is longer than {self._most:,} bytes")
        else:
            self._parts.append(data)

    def on_message_complete(self) -> None:
        """The answer is complete."""
        if not self._is_final:
            return  # another one follows
        if not self._parser.should_keep_alive():
            self.close()
        self._give()

    @property
    def _is_final(self) -> bool:
        """Whether this is a final answer, and not an interim one such as 100."""
        status: int = self._parser.get_status_code()
        return status >= 200 or status == 101

    def _give(self) -> None:
        if self._waiting is None or self._waiting.done():
            return
        answer = Reply(
            status=self._parser.get_status_code(),
            body=b"".join(self._parts),
            codings=codings_of([*self._values("content-encoding"), *self._values("transfer-encoding")]),
            content_type="".join(self._values("content-type")[:1]),
            location="".join(self._values("location")[:1]),
        )
        self._waiting.set_result(answer)

    def _values(self, name: str) -> list[str]:
        return [value for found, value in self._headers if found == name]

    def _fail(self, reason: str) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(CallFailed(reason))
        self.close()


@dataclass(frozen=True, kw_only=True)
class Server:
    """The address of a server, and how to reach it."""

    host: str
    port: int
    secure: bool = False
    proxy: Proxy | None = None
    address: str = ""  # of the host, resolved and checked before; empty: any that its name has
    most: int = BODY_BYTES  # of an answer

    async def connect(self, seconds: float = 10.0) -> Connection:
        """Open a connection; raise CallFailed when that fails."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(seconds):
                if self.proxy is not None and self.secure:
                    return await self._tunnel(self.proxy)
                where, port = (
                    (self.proxy.host, self.proxy.port) if self.proxy else (self.address or self.host, self.port)
                )
                name = self.host if self.secure and self.address else None  # that the certificate is for
                made = partial(Connection, self.most)
                _, connection = await loop.create_connection(
                    made, where, port, ssl=self.secure or None, server_hostname=name
                )
        except (OSError, TimeoutError) as error:
            reason = "the connection timed out" if isinstance(error, TimeoutError) else str(error)
            by = f" through the proxy {self.proxy.host}:{self.proxy.port}" if self.proxy is not None else ""
            raise CallFailed(f"{self.host}:{self.port} cannot be reached{by}: {reason}") from error
        return connection

    async def _tunnel(self, proxy: Proxy) -> Connection:
        """Open a tunnel with CONNECT; the proxy sees only the host."""
        loop = asyncio.get_running_loop()
        plain, asked = await loop.create_connection(Asked, proxy.host, proxy.port)
        made = None
        try:
            host = f"[{self.host}]" if ":" in self.host else self.host
            own = f"Proxy-Authorization: {proxy.authorization}\r\n" if proxy.authorization else ""
            plain.write(f"CONNECT {host}:{self.port} HTTP/1.1\r\nHost: {host}:{self.port}\r\n{own}\r\n".encode())
            line = await asked.answer
            if not re.match(r"HTTP/1\.\d 2", line):
                raise OSError(f"it answered {line!r}")
            connection, trust = Connection(), ssl.create_default_context()
            made = await loop.start_tls(plain, connection, trust, server_hostname=self.host)
        finally:
            if made is None:
                plain.close()
        assert made is not None
        connection.connection_made(made)
        return connection


class Asked(asyncio.Protocol):
    """Reads the first line of a proxy's answer to CONNECT."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._head = b""

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        self._head += data
        if not self.answer.done() and (b"\r\n\r\n" in self._head or len(self._head) > HEAD_BYTES):
            self.answer.set_result(self._head.splitlines()[0].decode("latin-1"))

    def connection_lost(self, exc: Exception | None) -> None:
        """The proxy or the network ended it."""
        if not self.answer.done():
            self.answer.set_exception(OSError("it closed the connection"))


class Pool:
    """Idle connections to one server."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._idle: list[Connection] = []

    async def ask(self, data: bytes, seconds: float) -> Reply:
        """Send an encoded request over an idle connection or a new one; raise CallFailed."""
        connection = self._take()
        reused = connection is not None
        while True:
            connection = connection or await self.server.connect()
            try:
                answer = await connection.ask(data, seconds)
            except CallFailed:
                if not reused:
                    raise
                # A server may close an idle connection at any time. That is not an answer to this request: try a new one.
                connection, reused = None, False
                continue
            if not connection.closed:
                self._idle.append(connection)
            return answer

    def close(self) -> None:
        """Close what is idle."""
        for connection in self._idle:
            connection.close()
        self._idle = []

    def _take(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed:
                return connection
        return None

"""Guards connections: drops slow senders and readers, too large heads, and connections over the limit.

uvicorn limits none of these. `GatewayServer` checks all connections once a second: a timer for
each request would cost more than the request's own parsing.
"""

from __future__ import annotations

import asyncio
import json
import socket
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from fabric_jobs.gateway.peer import Peer
from fabric_jobs.gateway.traffic import Traffic
from fabric_jobs.settings import Settings

BODY_RATE = 16 << 10  # bytes a second; a body must arrive at least this fast after its first seconds
LAST_SECONDS = 1.0  # of the grace period when the server ends
RESERVE = 16  # connections over the limit that may ask for PROBES: whoever watches a busy owner must not take it for a dead one
PROBES = (b"/healthz", b"/readyz")
CHUNK_OVERHEAD = 8  # a chunk of one byte takes six; more overhead than this is refused


@dataclass(frozen=True, kw_only=True)
class ConnectionLimits:
    """What one connection may do."""

    connections: int  # over TCP; the Unix socket, for this user's own jobs and commands, has no limit
    header_bytes: int
    head_seconds: float
    body_seconds: float
    read_seconds: float

    @classmethod
    def of(cls, settings: Settings) -> ConnectionLimits:
        """Return the limits in the settings."""
        return cls(
            connections=settings.connections,
            header_bytes=settings.header_bytes,
            head_seconds=settings.head_seconds,
            body_seconds=settings.body_seconds,
            read_seconds=settings.read_seconds,
        )


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with timeouts and limits."""

    limits: ConnectionLimits
    traffic: Traffic
    is_door = False  # see `Peer`

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Refuse a connection over the limit and its reserve."""
        super().connection_made(transport)
        self._peer = Peer(transport.get_extra_info("socket"), is_door=self.is_door)
        self._in_head, self._in_body = True, False
        self._since = self.loop.time()  # when the head or the body began
        self._messages = 0
        self._head_bytes = self._wire_bytes = self._body_bytes = 0
        self._complain = self._refuse_other  # about a request that is not passed on
        self._unread_since: float | None = None
        self.traffic.connections = len(self.connections)
        excess = 0 if self.client is None else self._tcp_connections() - self.limits.connections
        self._is_reserve = excess > 0
        if excess > RESERVE:
            self._refuse_excess()

    def connection_lost(self, exc: Exception | None) -> None:
        """Count one connection fewer."""
        super().connection_lost(exc)
        self.traffic.connections = len(self.connections)

    def data_received(self, data: bytes) -> None:
        """Count the bytes of heads and of chunk overhead."""
        if self.transport.is_closing():
            return
        before = self._messages
        super().data_received(data)
        if before != self._messages or self.transport.is_closing():
            return  # one read holds at most 256 KiB, some of which belonged to the previous request
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > self.limits.header_bytes:
                self._refuse_head()
        elif self._in_body:
            self._wire_bytes += len(data)
            if self._wire_bytes > self.limits.header_bytes + CHUNK_OVERHEAD * self._body_bytes:
                self._refuse_head()

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over to the protocol of web sockets, with the user at its other end."""
        self.app_state = {**self.app_state, "peer": self._peer}
        self._in_head = self._in_body = False  # what follows has no head and no body
        super().handle_websocket_upgrade()

    def on_message_begin(self) -> None:
        """Reset the counts for a new request."""
        super().on_message_begin()
        self.scope["state"]["peer"] = self._peer
        self._messages += 1
        self._in_head, self._in_body = True, False
        self._head_bytes = self._wire_bytes = self._body_bytes = 0
        self._since = self.loop.time()

    def on_headers_complete(self) -> None:
        """Check the size of a complete head, even if it came in one piece with the body, and what a reserve is used for."""
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > self.limits.header_bytes:
            self._complain = self._refuse_head
            raise _Refused
        if self._is_reserve and self.url.partition(b"?")[0] not in PROBES:
            self._complain = self._refuse_excess
            raise _Refused
        self._in_head, self._in_body = False, True
        self._since = self.loop.time()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Count part of a body."""
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Note that a request is complete."""
        self._in_body = False
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer a request that is not HTTP, or was refused by its head, in the shape of every other error."""
        self._complain()

    def pause_writing(self) -> None:
        """Note that the other side does not read its answer."""
        super().pause_writing()
        self._unread_since = self.loop.time()

    def resume_writing(self) -> None:
        """Note that the other side reads again."""
        super().resume_writing()
        self._unread_since = None

    def shutdown(self) -> None:
        """Answer complete requests as the owner ends; slow senders and readers get LAST_SECONDS."""
        super().shutdown()
        self.loop.call_later(LAST_SECONDS, self._give_up)

    def look(self, now: float) -> None:
        """Drop the connection when its other side has taken too long."""
        if self._unread_since is not None and now - self._unread_since > self.limits.read_seconds:
            self._abort("slow-reader")
        elif self.transport.is_closing() or self.flow.read_paused:
            self._since = now  # bytes that we do not read are not late
        elif self._in_head:
            if now - self._since > self.limits.head_seconds:
                self._refuse(408, "the head of the request timed out.", "slow-head")
        elif self._in_body:
            if now - self._since > self.limits.body_seconds + self._body_bytes / BODY_RATE:
                self._refuse(408, "the body of the request timed out.", "slow-body")
        elif self.cycle is not None and self.cycle.response_complete and self.timeout_keep_alive_task is None:
            self._in_head, self._since = True, now  # an empty line stopped uvicorn's timeout, but is not a request

    def _give_up(self) -> None:
        if self.transport.is_closing() and self._unread_since is None:
            return
        if self._unread_since is not None:
            self._abort("ending")
        elif self._in_body:
            self._refuse(503, "this owner is ending.", "ending")

    def _tcp_connections(self) -> int:
        return sum(getattr(connection, "client", None) is not None for connection in self.connections)

    def _refuse_head(self) -> None:
        self._refuse(431, f"the head is over the limit of {self.limits.header_bytes:,} bytes.", "head")

    def _refuse_excess(self) -> None:
        self._refuse(503, f"there are {self.limits.connections:,} connections already.", "connections")

    def _refuse_other(self) -> None:
        self._refuse(400, "this is not an HTTP/1.1 request.", "no-http")

    def _refuse(self, status: int, message: str, reason: str) -> None:
        """Answer instead of the application, and close; if an answer has already begun, only close."""
        if self.cycle is not None and not self.cycle.response_complete:
            if self.cycle.response_started:
                self._abort(reason)
                return
            self.cycle.disconnected = True  # tells the reader of the body that no more comes
            self.cycle.message_event.set()
        self.traffic.dropped[reason] += 1
        body = json.dumps({"success": False, "message": message}).encode()
        head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: application/json\r\n"
        self.transport.write(f"{head}content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode() + body)
        self.transport.close()

    def _abort(self, reason: str) -> None:
        self.traffic.dropped[reason] += 1
        self.transport.abort()


class _Refused(Exception):
    """The request is not passed on; raised in a callback of the parser, which wraps it."""


def guarded(limits: ConnectionLimits, traffic: Traffic) -> type[GuardedProtocol]:
    """Return a protocol class with these limits, since uvicorn makes one per connection and passes it no arguments."""
    return type("Connection", (GuardedProtocol,), {"limits": limits, "traffic": traffic})


def web_socket(**given: Any) -> asyncio.Protocol:
    """Return the protocol of one web socket."""
    from uvicorn.protocols.websockets.wsproto_impl import WSProtocol  # late: most owners have no web socket

    return WSProtocol(**given)


def guard(bound: socket.socket) -> None:
    """Turn on keep-alive probes and TCP_NODELAY; connections inherit both from the listening socket.

    Probes find callers that vanished. asyncio sets TCP_NODELAY only on sockets made with a protocol. Without it, the body
    of an answer, written after its head, waits for the caller's delayed acknowledgement: 40 ms for each call.
    """
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    options: dict[str, Any] = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 6}
    for name, value in options.items():
        if hasattr(socket, name):
            bound.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

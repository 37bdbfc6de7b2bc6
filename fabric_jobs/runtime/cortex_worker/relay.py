"""Passes requests of an attempt's programs on to the gateway, with the token of the task (docs/howto/containers-of-apis.md).

So code that submits jobs by the in-cluster address needs no change, and no token.
"""

from __future__ import annotations

import hmac
import json
import secrets
import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..fabric_skill.http import Address

HOST = "127.0.0.1"
HEAD_BYTES = 1 << 16
PART_BYTES = 1 << 16
IDLE_SECONDS = 60.0  # for the head of a request
PATIENCE_SECONDS = 300.0  # how long the gateway may be away
OURS = ("host", "connection", "keep-alive", "proxy-connection")  # headers that are not passed on


class Relay:
    """Listens on one port of this machine. Each connection carries one request, of any length, or a web socket."""

    def __init__(self, gateway: Address, token: str, *, port: int = 0, secret: str = "") -> None:
        """Listen. Raise OSError if the port is taken.

        With a `secret`, only paths that begin with it are passed on: other users of this machine could connect, too.
        """
        self._gateway = gateway
        self._token = token
        self._prefix = f"/{secret}" if secret else ""
        self._listener = socket.create_server((HOST, port), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, name="relay", daemon=True).start()

    @classmethod
    def hidden(cls, gateway: Address, token: str) -> Relay:
        """Listen on a free port, for those only who know the address."""
        return cls(gateway, token, secret=secrets.token_urlsafe(16))

    @property
    def url(self) -> str:
        """The address of the gateway for programs here, without a slash at its end."""
        return f"http://{HOST}:{self.port}{self._prefix}"

    def close(self) -> None:
        """Stop listening."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except ConnectionError:  # it left before it was accepted
                continue
            except OSError:  # closed, or out of descriptors
                if self._listener.fileno() < 0:
                    return
                time.sleep(0.1)
                continue
            threading.Thread(target=self._serve, args=(client,), name="relayed", daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            client.settimeout(IDLE_SECONDS)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            found = _read_head(client)
            if found is None:
                return
            head, rest = found
            passed = self._passed(head)
            if passed is None:
                client.sendall(_answer(404, "Not Found", "there is nothing here", "not_found"))
                return
            server = _connect(self._gateway)
            if server is None:
                client.sendall(
                    _answer(503, "Service Unavailable", "the gateway is away; try again later", "unavailable")
                )
                return
            with server:
                client.settimeout(None)
                server.sendall(passed + rest)
                threading.Thread(target=_copy, args=(client, server), name="relayed-up", daemon=True).start()
                _answer_once(server, client)
                for each in (client, server):  # a `close` alone would not wake the other thread
                    with suppress(OSError):
                        each.shutdown(socket.SHUT_RDWR)

    def _passed(self, head: bytes) -> bytes | None:
        """Return the head of a request for the gateway; None if its path is not allowed."""
        first, *lines = head.decode("latin-1").split("\r\n")
        method, _, target = first.partition(" ")
        path, _, version = target.rpartition(" ")
        if not hmac.compare_digest(path[: len(self._prefix)].encode("latin-1"), self._prefix.encode()):
            return None
        path = path[len(self._prefix) :] or "/"
        if not path.startswith(("/", "?")):
            return None
        named = [(line.partition(":")[0].strip().lower(), line) for line in lines]
        is_upgrade = any(name == "upgrade" for name, _ in named)
        kept = [line for name, line in named if line and name not in OURS]
        kept.append("Connection: Upgrade" if is_upgrade else "Connection: close")
        if not any(name == "authorization" for name, _ in named):
            kept.append(f"Authorization: Bearer {self._token}")
        host = "localhost" if isinstance(self._gateway, str) else f"{self._gateway[0]}:{self._gateway[1]}"
        slash = "/" if path.startswith("?") else ""
        return "\r\n".join((f"{method} {slash}{path} {version}", f"Host: {host}", *kept, "", "")).encode("latin-1")


def _read_head(client: socket.socket) -> tuple[bytes, bytes] | None:
    """Return the head of a request without its blank line, and what came after it; None if there is no request."""
    found = b""
    while True:
        end = found.find(b"\r\n\r\n")
        if end >= 0:
            return found[:end], found[end + 4 :]
        part = client.recv(PART_BYTES) if len(found) < HEAD_BYTES else b""
        if not part:
            return None
        found += part


def _connect(gateway: Address) -> socket.socket | None:
    """Connect to the gateway; None if it is away too long."""
    deadline, pause = time.monotonic() + PATIENCE_SECONDS, 0.01
    while True:
        with suppress(OSError):
            return _connect_once(gateway)
        if time.monotonic() > deadline:
            return None
        time.sleep(pause)
        pause = min(2 * pause, 1.0)


def _connect_once(gateway: Address) -> socket.socket:
    if not isinstance(gateway, str):
        made = socket.create_connection(gateway, 10.0)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.settimeout(None)
        return made
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        made.connect(gateway)
    except OSError:
        made.close()
        raise
    return made


def _answer_once(server: socket.socket, client: socket.socket) -> None:
    """Pass the gateway's answer on, and tell the client that the connection ends with it."""
    while True:
        found = _read_head(server)
        if found is None:
            return
        head, rest = found
        status = head.split(b" ", 2)[1][:3]
        if status[:1] != b"1" or status == b"101":
            break
        client.sendall(head + b"\r\n\r\n")  # such as 100, and the answer follows
    if status != b"101":
        lines = head.split(b"\r\n")
        kept = [line for line in lines if not line.lower().startswith((b"connection:", b"keep-alive:"))]
        head = b"\r\n".join((*kept, b"Connection: close"))
    client.sendall(head + b"\r\n\r\n" + rest)
    _copy(server, client)


def _copy(source: socket.socket, target: socket.socket) -> None:
    """Copy bytes until the source ends, then end the target's input."""
    with suppress(OSError):
        while True:
            part = source.recv(PART_BYTES)
            if not part:
                break
            target.sendall(part)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def _answer(status: int, reason: str, message: str, kind: str) -> bytes:
    body = json.dumps({"kind": kind, "message": message}).encode()
    lines = (
        f"HTTP/1.1 {status} {reason}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "Connection: close",
    )
    return "\r\n".join((*lines, "", "")).encode() + body

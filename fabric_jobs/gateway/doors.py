"""The addresses an owner listens on, including those an executor asks for, since containers cannot reach 127.0.0.1."""

from __future__ import annotations

import asyncio
import errno
import socket
import threading
from pathlib import Path

from fabric_jobs.errors import PlaceUnavailable
from fabric_jobs.gateway.server import GatewayServer

ANYWHERE = ("0.0.0.0", "::")
SHARED_SOCKET = "gateway"
OPEN_SECONDS = 30.0


class GatewayDoors:
    """See `fabric_jobs.executors.base.Doors`; may be called from any thread except the loop's."""

    def __init__(self, tcp: socket.socket, unix: Path, *, advertised: str = "") -> None:
        """`tcp` and `unix` are listened on from the start; `advertised` is the URL for other machines."""
        self.socket = str(unix)
        self.advertised = advertised.rstrip("/")
        self._host, self._port = tcp.getsockname()[:2]
        self._opened: dict[str, str] = {}
        self._shared: Path | None = None
        self._opening = threading.Lock()
        self._server: GatewayServer | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def url(self) -> str:
        """Return http://HOST:PORT, the gateway's address for programs on this machine."""
        return _url(self._host, self._port)

    def serve(self, server: GatewayServer, loop: asyncio.AbstractEventLoop) -> None:
        """Let `server`, which runs in `loop`, answer on every socket opened from now on."""
        self._server, self._loop = server, loop

    def listen(self, host: str) -> str:
        """Listen on one more address of this machine, on the same port, and return the URL.

        Raises PlaceUnavailable if it is not an address of this machine or the port is taken there.
        """
        url = _url(host, self._port)
        with self._opening:
            if host in self._opened or host == self._host or self._host in ANYWHERE:
                return url
            bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                bound.bind((host, self._port))
            except OSError as error:
                bound.close()
                raise PlaceUnavailable(
                    f"port {self._port} of {host} cannot be used: {error.strerror}.",
                    hint="" if error.errno == errno.EADDRNOTAVAIL else "Choose another port with `serve --port`.",
                ) from error
            self._answer_on(bound)
            self._opened[host] = url
        return url

    def share(self) -> Path:
        """Return a directory that contains only a Unix socket, `gateway`, which anybody who sees it may use.

        Other users do not see it: only this user can enter the directory above it.
        """
        with self._opening:
            if self._shared is None:
                directory = Path(self.socket).with_name("door")
                directory.mkdir(exist_ok=True)
                directory.chmod(0o755)
                path = directory / SHARED_SOCKET
                path.unlink(missing_ok=True)  # left by an earlier owner
                bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                bound.bind(str(path))
                path.chmod(0o666)
                self._answer_on(bound)
                self._shared = directory
            return self._shared

    def close(self) -> None:
        """Remove the shared socket; the server closes the sockets that it answers on.

        Its directory stays: running containers have it mounted, and find the next owner's socket there.
        """
        if self._shared is not None:
            (self._shared / SHARED_SOCKET).unlink(missing_ok=True)

    def _answer_on(self, bound: socket.socket) -> None:
        if self._server is None or self._loop is None:
            raise PlaceUnavailable("the gateway does not answer yet.")
        asyncio.run_coroutine_threadsafe(self._server.listen(bound), self._loop).result(OPEN_SECONDS)


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

"""A proxy to the Docker engine that a test can close and open again. The engine itself is never stopped."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

from fabric_jobs.docker.engine import DockerEngine
from tests.tcp_proxy import TcpProxy


class DockerProxy(TcpProxy):
    """Listens on a port of this machine, so that the engine looks like one on another machine."""

    def __init__(self) -> None:
        self._engine = urlsplit(DockerEngine().url)
        super().__init__(self._reach)

    @property
    def url(self) -> str:
        """The value for DOCKER_HOST."""
        return f"tcp://127.0.0.1:{self.port}"

    def _reach(self) -> socket.socket:
        if self._engine.scheme == "unix":
            far = socket.socket(socket.AF_UNIX)
            far.connect(self._engine.path)
            return far
        return socket.create_connection((str(self._engine.hostname), self._engine.port or 2375))

"""A proxy to a server that a test can close and open again. The server itself is never stopped."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress


def held_port() -> socket.socket:
    """Return a socket that keeps a port of this machine for one listener after the other, which must reuse addresses."""
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", 0))
    return held


class TcpProxy:
    """Listens on a port of this machine, and passes on what comes there."""

    def __init__(self, connect: Callable[[], socket.socket]) -> None:
        """`connect()` returns a connection to the server."""
        self._held = held_port()
        self.port = self._held.getsockname()[1]
        self._connect = connect
        self._open: set[socket.socket] = set()
        self._halves: dict[socket.socket, socket.socket] = {}  # halves that get no more data, and their sources
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._listening: socket.socket | None = None
        self.back()

    def back(self) -> None:
        """Let the server answer again."""
        listening = socket.create_server(("127.0.0.1", self.port))
        self._listening = listening
        self._run(self._accept, listening)

    def cut(self) -> None:
        """Close all connections, but accept new ones."""
        with self._lock:
            ended = list(self._open)
        for each in ended:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def away(self) -> None:
        """Stop answering, as a server that is away."""
        if self._listening is not None:
            with suppress(OSError):
                self._listening.shutdown(socket.SHUT_RDWR)
            self._listening.close()
            self._listening = None
        self.cut()

    def close(self) -> None:
        """End everything."""
        self.away()
        self._held.close()
        for thread in self._threads:
            thread.join(10)

    def _run(self, work: Callable[..., None], *words: object) -> None:
        thread = threading.Thread(target=work, args=words, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listening: socket.socket) -> None:
        with suppress(OSError):  # it is closed
            while True:
                near, _ = listening.accept()
                try:
                    far = self._connect()
                except OSError:  # the server itself is away
                    near.close()
                    continue
                with self._lock:
                    self._open |= {near, far}
                if self._listening is not listening:
                    self.cut()
                self._run(self._copy, near, far)
                self._run(self._copy, far, near)

    def _copy(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while part := source.recv(1 << 16):
                target.sendall(part)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)
        with self._lock:
            self._halves[target] = source
            is_over = self._halves.get(source) is target
        if is_over:
            self._let_go(source, target)

    def _let_go(self, *both: socket.socket) -> None:
        with self._lock:
            self._open -= set(both)
            for each in both:
                del self._halves[each]
        for each in both:
            each.close()

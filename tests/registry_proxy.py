"""A TCP proxy to the registry that breaks a push in the middle. Docker uses plain HTTP for `localhost:PORT`, too."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from types import TracebackType

BLOCK = 16_384
FULL = b"HTTP/1.1 500 no space left on device\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"  # docker does not retry this


class RegistryProxy:
    """Use it in a `with`. It forwards everything until `cut_after` bytes have been sent to the registry.

    Then the connections break, once. `then` says what follows: `heal` forwards again, `full` answers every request
    like a registry with a full disk, and `stall` breaks nothing, but forwards nothing more.
    """

    def __init__(self, registry: str, *, cut_after: int | None = None, then: str = "heal") -> None:
        host, _, port = registry.partition(":")
        self._registry = (host, int(port))
        self._cut_after = cut_after
        self._then = then
        self._sent = 0
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self.is_cut = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"localhost:{self._listener.getsockname()[1]}"

    def __enter__(self) -> RegistryProxy:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._break()

    def heal(self) -> None:
        """Forward everything from now on."""
        self._cut_after = None
        self.is_cut.clear()
        self._break()  # data held back is lost

    def _serve(self) -> None:
        with suppress(OSError):  # the listener is closed
            while True:
                inside, _ = self._listener.accept()
                if self.is_cut.is_set() and self._then == "full":
                    threading.Thread(target=self._refuse, args=(inside,), daemon=True).start()
                    continue
                outside = socket.create_connection(self._registry)
                with self._lock:
                    self._open |= {inside, outside}
                for one, other in ((inside, outside), (outside, inside)):
                    threading.Thread(target=self._pump, args=(one, other, one is inside), daemon=True).start()

    def _pump(self, one: socket.socket, other: socket.socket, counts: bool) -> None:
        with suppress(OSError):
            while data := one.recv(BLOCK):
                if counts and self._is_held(len(data)):
                    return
                other.sendall(data)
        with suppress(OSError):
            other.shutdown(socket.SHUT_WR)

    def _is_held(self, size: int) -> bool:
        """Count the bytes sent; at the limit, break or stall the connections."""
        with self._lock:
            self._sent += size
            is_enough = self._cut_after is not None and self._sent > self._cut_after
            if not is_enough or (self.is_cut.is_set() and self._then != "stall"):
                return False
            self.is_cut.set()
        if self._then != "stall":
            self._break()
        return True

    def _break(self) -> None:
        with self._lock:
            broken, self._open = self._open, set()
        for connection in broken:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def _refuse(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.recv(BLOCK)
            connection.sendall(FULL)

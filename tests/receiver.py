"""A small real HTTP server that is called back, and remembers its calls."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SECONDS = 60.0


@dataclass(frozen=True)
class Received:
    """One call."""

    path: str
    headers: Message
    body: bytes

    @property
    def record(self) -> Any:
        """Its JSON."""
        return json.loads(self.body)


class Receiver:
    """The server; `answers` are the status of the next calls, and 200 after them."""

    def __init__(
        self, *answers: int, address: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
    ) -> None:
        self.calls: list[Received] = []
        self.answers = list(answers)
        self.location = ""  # where a redirect leads
        self.hold = threading.Event()  # calls are answered once it is set
        self.hold.set()
        self._changed = threading.Condition()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver._take(self)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer((address, port), Handler)
        self._server.daemon_threads = True
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self._server.server_address[1]
        self.url = f"http://{address}:{self.port}/hook"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def wait(self, count: int) -> list[Received]:
        """Wait for this many calls, and return them."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.calls) >= count, SECONDS), self.calls
            return list(self.calls)

    def close(self) -> None:
        """End; connections are refused from now on."""
        self.hold.set()
        self._server.shutdown()
        self._server.server_close()

    def _take(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["content-length"]))
        with self._changed:
            self.calls.append(Received(handler.path, handler.headers, body))
            status = self.answers.pop(0) if self.answers else 200
            self._changed.notify_all()
        self.hold.wait(SECONDS)
        try:
            handler.send_response(status)
            if status == 302:
                handler.send_header("Location", self.location)
            handler.send_header("Content-Length", "2")
            handler.end_headers()
            handler.wfile.write(b"ok")
        except OSError:
            pass  # the caller was killed


@contextmanager
def receiving(*answers: int, **given: Any) -> Iterator[Receiver]:
    """Yield a receiver that ends with the block."""
    receiver = Receiver(*answers, **given)
    try:
        yield receiver
    finally:
        receiver.close()

"""A server in front of a store, which passes requests on, or fails as a test says."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

Answer = int | str | None  # a status, "close", "hang", or None: pass it on


class FlakyStore:
    """Use it in a `with`. `answers` are given to the next requests, then `always` to all others."""

    def __init__(self, target: str) -> None:
        self.answers: list[Answer] = []
        self.always: Answer = None
        self.asked = 0
        self._released = threading.Event()  # ends what hangs
        store = self

        class Handler(_Handler):
            flaky = store
            upstream = target

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> FlakyStore:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._released.set()
        self._server.shutdown()
        self._server.server_close()

    def next_answer(self) -> Answer:
        """Return what becomes of a request."""
        self.asked += 1
        return self.answers.pop(0) if self.answers else self.always

    def hang(self) -> None:
        """Return when the test is over."""
        self._released.wait()


class _Handler(BaseHTTPRequestHandler):
    flaky: FlakyStore
    upstream: str
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        answer = self.flaky.next_answer()
        if answer is None:
            self._pass_on()
        elif isinstance(answer, int):
            self._say(answer, b"<Error><Code>SlowDown</Code><Message>as the test says</Message></Error>")
        else:
            if answer == "hang":
                self.flaky.hang()
            self.close_connection = True

    def do_HEAD(self) -> None:
        self.do_GET()

    def _pass_on(self) -> None:
        headers = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection")}
        request = urllib.request.Request(self.upstream + self.path, headers=headers, method=self.command)
        try:
            with urllib.request.urlopen(request) as found:
                self._say(found.status, found.read(), found.headers.items())
        except urllib.error.HTTPError as error:
            with error:
                self._say(error.code, error.read(), error.headers.items())

    def _say(self, status: int, body: bytes, headers: Sequence[tuple[str, Any]] = ()) -> None:
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in ("content-length", "connection", "transfer-encoding", "date", "server"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""

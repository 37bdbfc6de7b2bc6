"""A Docker engine whose answers about images the test chooses, for cases that a real one cannot show on demand."""

from __future__ import annotations

import json
import re
import socketserver
import threading
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import unquote, urlsplit

IMAGE = re.compile(r"/v[0-9.]+/images/(.+?)(?:/(json|push|tag))?")


class EngineStub:
    """Use it in a `with`. `images` are its answers, `told` the messages of the next push, `asked` its requests."""

    def __init__(self, directory: Path) -> None:
        self.url = f"unix://{directory / 'engine'}"
        self.images: dict[str, dict[str, Any]] = {}
        self.told: Sequence[dict[str, Any]] = ()
        self.gate: Callable[[], object] = lambda: None  # called after the first message of a push
        self.asked: list[str] = []
        self.headers: dict[str, str] = {}  # of the last request
        stub = self

        class Handler(_Handler):
            engine = stub

        self._server = socketserver.ThreadingUnixStreamServer(str(directory / "engine"), Handler)
        self._server.daemon_threads = True

    def __enter__(self) -> EngineStub:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    engine: EngineStub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_DELETE(self) -> None:
        self._answer()

    def address_string(self) -> str:
        return "here"

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.engine.asked.append(f"{self.command} {path}")
        self.engine.headers = dict(self.headers)
        if path.endswith("/version"):
            self._say(200, {"ApiVersion": "1.41"})
        elif found := IMAGE.fullmatch(path):
            self._of_image(found[1], found[2])
        else:
            self._say(200, {})

    def _of_image(self, name: str, verb: str | None) -> None:
        if verb == "push":
            self._say(200, *self.engine.told)
        elif name not in self.engine.images:
            self._say(404, {"message": f"No such image: {name}"})
        elif verb == "tag":
            self._say(201)
        else:
            self._say(200, self.engine.images[name])

    def _say(self, code: int, *values: object) -> None:
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for value in values:
            text = json.dumps(value).encode() + b"\r\n"
            self.wfile.write(b"%x\r\n%s\r\n" % (len(text), text))
            if len(values) > 1:
                self.engine.gate()
        self.wfile.write(b"0\r\n\r\n")
        self.close_connection = True  # the next caller checks whether the socket still exists

"""Runs the launcher of pods as it is in a pod: a real process, from the zip of the ConfigMap, with an order file."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from fabric_jobs.errors import InvalidInput
from fabric_jobs.executors.attempt_files import shipped
from fabric_jobs.executors.base import STREAMS, AttemptSpec, ProcessSpec
from fabric_jobs.executors.kubernetes import layer, manifest
from fabric_jobs.executors.kubernetes.around import Around
from tests.acceptance.live import until
from tests.tcp_proxy import held_port

ATTEMPT = "7-2"


class Pod:
    """A launcher with its program. `log` is the directory of what it prints itself, as for `kubectl logs`."""

    def __init__(self, place: Path, gateway: str, *words: str, python: str = sys.executable, **changes: Any) -> None:
        """Start it; `changes` are of the order."""
        place.mkdir(exist_ok=True)
        self.place = place
        self.work = place / "work"
        layer_file = place / layer.FILE
        layer_file.write_bytes(layer.archive())
        environment = {"FABRIC_JOBS_ATTEMPT": ATTEMPT, "CORTEX_TOKEN": "a.b.c", **changes.pop("environment", {})}
        files = dict.fromkeys(changes.pop("files", ()), b"")
        project = changes.pop("project", False)
        process = ProcessSpec(directory=None, environment=environment, is_project=project, port=changes.pop("port", 0))
        order = manifest.order(
            AttemptSpec(name="a-1", processes=(process,), files=files),
            words,
            Around(owner="o", gateway=gateway),
        )
        for directory in ("files", "work"):
            (place / directory).mkdir(exist_ok=True)
        order |= {"directory": str(place / "files"), "work": str(self.work), **changes}
        (place / "order.json").write_text(json.dumps(order))
        with open(place / "log.stdout", "wb") as out, open(place / "log.stderr", "wb") as err:
            self.process = subprocess.Popen(
                [python, "-I", "-S", str(layer_file), str(place / "order.json")],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env={"PATH": os.environ["PATH"], "OF_IMAGE": "1", "PYTHONPATH": "/own"},
            )

    def ends(self, code: int = 0) -> None:
        """Wait for its end."""
        found = self.process.wait(60)
        assert found == code, (found, self.logged())

    def logged(self) -> tuple[bytes, bytes]:
        """Return what it has printed itself."""
        return (self.place / "log.stdout").read_bytes(), (self.place / "log.stderr").read_bytes()

    def program(self) -> int:
        """Return the process id of the program, its only child."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return int(until(lambda: path.read_text().split(), "the program runs")[0])

    def close(self) -> None:
        """Kill what runs still: a launcher that is killed leaves its program behind, as no pod does."""
        if self.process.poll() is None:
            children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
            for program in children:
                with suppress(ProcessLookupError):
                    os.killpg(int(program), signal.SIGKILL)
            self.process.kill()
            self.process.wait()


class Taker:
    """A server that takes output on one port. It can go away and come back."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.posts: list[str] = []
        self.connections: set[int] = set()  # that are open
        self.refuses = 0  # with this status
        self._held = held_port()
        self._port = self._held.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"
        self._server: ThreadingHTTPServer | None = None
        directory.mkdir(parents=True)
        for stream in STREAMS:
            (directory / stream).touch()
        self.start()

    def start(self) -> None:
        """Serve."""
        server = self._server = ThreadingHTTPServer(("127.0.0.1", self._port), type("_H", (_Taking,), {"taker": self}))
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def stop(self) -> None:
        """Go away, with all connections."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def close(self) -> None:
        """Go away for good."""
        self.stop()
        self._held.close()

    def taken(self) -> tuple[bytes, bytes]:
        """Return what has arrived of both streams."""
        return (self.directory / "stdout").read_bytes(), (self.directory / "stderr").read_bytes()

    def arrives(self, stdout: bytes = b"", stderr: bytes = b"") -> None:
        """Wait until exactly this has arrived."""
        until(lambda: self.taken() == (stdout, stderr), f"{stdout!r} and {stderr!r} arrive")

    @property
    def is_whole(self) -> bool:
        """Whether it was told that all has been sent."""
        return (self.directory / shipped.WHOLE).exists()


class _Taking(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    taker: Taker

    def setup(self) -> None:
        super().setup()
        self.taker.connections.add(id(self))

    def finish(self) -> None:
        super().finish()
        self.taker.connections.discard(id(self))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        target = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(target.query).items()}
        taker = self.taker
        taker.posts.append(target.query)
        assert target.path == f"/px/internal/attempts/{ATTEMPT}/output"
        assert self.headers["Authorization"] == "Bearer a.b.c"
        if taker._server is None:
            self.close_connection = True
            return
        if taker.refuses:
            self._answer(taker.refuses, {"success": False, "message": "refused by the test."})
            return
        try:
            size = shipped.take(taker.directory, query["stream"], int(query["offset"]), body)
            if query.get("whole"):
                shipped.finish(taker.directory)
            self._answer(200, {"size": size, **shipped.asks(taker.directory)})
        except InvalidInput as error:
            self._answer(400, {"success": False, "message": error.message})

    def _answer(self, status: int, body: Any) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def a_taker(place: Path) -> Iterator[Taker]:
    """Yield a server that takes output, until the end of a test."""
    made = Taker(place / "taken")
    try:
        yield made
    finally:
        made.close()

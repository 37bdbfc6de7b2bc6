"""A small real HTTP server that plays the gateway to a skill's program, and remembers its calls."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from fabric_jobs.executors.program import RUNTIME
from tests.handed_batches import HandedBatches

SECONDS = 30.0


@dataclass(frozen=True)
class Told:
    """One commit as received."""

    head: dict[str, Any]
    outputs: dict[str, list[Any]]
    resend: bool  # its sequence number came before

    @property
    def acks(self) -> list[list[int]]:
        """Return [[channel, first, next], …]."""
        found: list[list[int]] = self.head["acks"]
        return found

    @property
    def is_goodbye(self) -> bool:
        """Whether it only says that nothing more is under way."""
        return not (self.acks or self.outputs or self.head.get("left") or self.head["open"])

    def records(self, output: str = "out") -> list[Any]:
        """Return its records for an output."""
        return self.outputs.get(output, [])


@dataclass
class State:
    """The state that survives a restart of the server."""

    inputs: dict[int, list[Any]] = field(default_factory=dict)  # channel -> its records
    chunk: int = 100  # records in the answer to one pull
    ended: bool = True  # whether no more input will come
    told: list[Told] = field(default_factory=list)
    pulls: list[str] = field(default_factory=list)
    paths: set[str] = field(default_factory=set)
    tokens: set[str] = field(default_factory=set)
    acked: dict[int, int] = field(default_factory=dict)
    sequence: int = 0
    statuses: list[int] = field(default_factory=list)  # answers to the next requests, of any kind
    arrived: int = 0  # number of commits, answered or not
    hold: bool = False  # commits are accepted, but not answered
    lose: str = ""  # break the connection "before" or "after" the next commit is stored
    batches: HandedBatches = field(default_factory=HandedBatches)
    metrics: list[dict[str, Any]] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def until(self, predicate: Callable[[], object]) -> None:
        """Wait until `predicate` is true."""
        with self.changed:
            assert self.changed.wait_for(lambda: bool(predicate()), SECONDS), self.told

    def set(self, **values: Any) -> None:
        """Change the server's behaviour."""
        with self.changed:
            for name, value in values.items():
                setattr(self, name, value)
            self.changed.notify_all()

    def records(self, output: str = "out") -> list[Any]:
        """Return all stored records of an output."""
        return [record for told in self.told if not told.resend for record in told.records(output)]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Any

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        state = self._note()
        with state.changed:
            state.arrived += 1
            state.changed.notify_all()
            if state.statuses:
                return self._refuse(state.statuses.pop(0))
            lose, state.lose = state.lose, ""
            answer: bytes | None = b"{}"
            if lose != "before":
                answer = self._stored(state, body)
            if lose:
                self.close_connection = True
                return None
            state.changed.wait_for(lambda: not state.hold, SECONDS)
        return self._answer(204 if answer is None else 200, answer or b"")

    def do_GET(self) -> None:
        state = self._note()
        query = parse_qs(urlsplit(self.path).query)
        at = {int(part.split(":")[0]): int(part.split(":")[1]) for part in query.get("at", [""])[0].split(",") if part}
        with state.changed:
            state.pulls.append(self.path)
            state.changed.notify_all()
            if state.statuses:
                return self._refuse(state.statuses.pop(0))
            while True:
                for channel, records in state.inputs.items():
                    first = at.get(channel, state.acked.get(channel, 0))
                    part = records[first : first + state.chunk]
                    if part:
                        body = b"".join(json.dumps(record).encode() + b"\n" for record in part)
                        return self._answer(200, body, {"X-Fabric-Channel": str(channel), "X-Fabric-First": str(first)})
                if state.ended:
                    return self._answer(204, b"", {"X-Fabric-End": "1"})
                if not state.changed.wait(SECONDS) or self.server.closing:
                    self.close_connection = True
                    return None

    def _note(self) -> State:
        state: State = self.server.state
        with state.changed:
            state.paths.add(urlsplit(self.path).path)
            state.tokens.add(self.headers["authorization"])
        return state

    def _stored(self, state: State, body: bytes) -> bytes | None:
        if self.path.endswith("/metrics"):
            state.metrics += json.loads(body)["metrics"]
            state.changed.notify_all()
            return b"{}"
        if not self.path.endswith("/batches"):
            self._store(state, body)
            return b"{}"
        state.batches.note(body)
        state.changed.notify_all()
        state.changed.wait_for(lambda: state.batches.has_answer or self.server.closing, SECONDS)
        return state.batches.answer()

    def _store(self, state: State, body: bytes) -> None:
        line, _, rest = body.partition(b"\n")
        head = json.loads(line)
        outputs: dict[str, list[Any]] = {}
        for name, count, size in head["outputs"]:
            part, rest = rest[:size], rest[size:]
            records = [json.loads(text) for text in part.splitlines()]
            assert len(records) == count
            outputs.setdefault(name, []).extend(records)
        assert rest == b""
        state.told.append(Told(head, outputs, resend=head["sequence"] <= state.sequence))
        state.sequence = max(state.sequence, head["sequence"])
        for channel, first, after in head["acks"]:
            assert state.acked.get(channel, 0) in (first, after)
            state.acked[channel] = after
        state.changed.notify_all()

    def _refuse(self, status: int) -> None:
        self._answer(status, json.dumps({"success": False, "message": f"refused with {status}"}).encode())

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


class _UnixServer(ThreadingMixIn, UnixStreamServer):
    daemon_threads = True


class SmallGateway:
    """The server. `stop` and `start` restart it; `state` survives that."""

    def __init__(self, directory: Path, *, tcp: bool = False) -> None:
        self.state = State()
        self.path = directory / "gateway.sock"
        self.directory = directory
        self._tcp = tcp
        self._server: Any = None
        self.programs: list[subprocess.Popen[str]] = []
        self.start()

    def start(self) -> None:
        """Start serving."""
        self.path.unlink(missing_ok=True)
        kind: Any = ThreadingHTTPServer if self._tcp else _UnixServer
        self._server = kind(("127.0.0.1", 0) if self._tcp else str(self.path), _Handler)
        self._server.daemon_threads = True
        self._server.state, self._server.closing = self.state, False
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def stop(self) -> None:
        """Stop serving, and refuse connections."""
        self._server.closing = True
        self.state.set(hold=False)
        self._server.shutdown()
        self._server.server_close()
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Stop the server and all programs."""
        self.stop()
        for program in self.programs:
            program.kill()
            program.communicate()

    def run(self, code: str, **message: Any) -> subprocess.Popen[str]:
        """Start a skill's program with a message, with pipes for its input and output."""
        main = self.directory / "main.py"
        main.write_text(f"import sys\n{code}")
        return self.begin([str(main)], **message)

    def begin(
        self, words: list[str], *, cwd: Path | None = None, env: dict[str, str] | None = None, **message: Any
    ) -> subprocess.Popen[str]:
        """Start Python with some words and a message, with pipes for its input and output."""
        host, port = self._server.server_address[:2] if self._tcp else ("127.0.0.1", 1)
        body = {"outputName": "out", "payload": None, "apiEndpoint": f"http://{host}:{port}/px", **message}
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("CORTEX_", "FABRIC_"))},
            "PYTHONPATH": str(RUNTIME),
            "PYTHONUNBUFFERED": "1",
            "FABRIC_JOBS_ATTEMPT": "7-2",
            "CORTEX_TOKEN": "a.b.c",
            **({} if self._tcp else {"FABRIC_JOBS_SOCKET": str(self.path)}),
            **(env or {}),
        }
        pipe = subprocess.PIPE
        program = subprocess.Popen(
            [sys.executable, *words, json.dumps(body)],
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            env=environment,
            cwd=cwd,
            text=True,
        )
        self.programs.append(program)
        return program


def ends(program: subprocess.Popen[str], code: int = 0) -> tuple[str, str]:
    """Wait for the end of a program, and return its output."""
    try:
        stdout, stderr = program.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        program.send_signal(signal.SIGKILL)
        raise
    assert program.returncode == code, stderr
    return stdout, stderr


def says(program: subprocess.Popen[str], line: str) -> None:
    """Wait until a program has printed a line."""
    assert program.stdout is not None
    found = program.stdout.readline()
    assert found == f"{line}\n"


def go_on(program: subprocess.Popen[str]) -> None:
    """Send a line to a program that waits for one."""
    assert program.stdin is not None
    program.stdin.write("go on\n")
    program.stdin.flush()

"""Probes of containers: whether they are ready for batches, and whether they are alive."""

from __future__ import annotations

import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

HOST = "127.0.0.1"
FIRST_PAUSE = 0.01  # seconds before the second look, until the first success; doubled each time
MOST_PAUSE = 1.0
STATUS_BYTES = 1024


class Probe(NamedTuple):
    """How a container is asked, as in its API file."""

    container: str  # empty: the one that listens on the port of the API
    kind: str  # http_get | tcp_socket | exec
    port: int = 0
    path: str = "/"
    command: tuple[str, ...] = ()
    initial_delay_seconds: float = 0
    timeout_seconds: float = 1
    period_seconds: float = 10
    success_threshold: int = 1
    failure_threshold: int = 3

    @property
    def who(self) -> str:
        """Who is asked, for people."""
        return f"container '{self.container}'" if self.container else "the server"

    @property
    def what(self) -> str:
        """What is asked, for people."""
        if self.kind == "exec":
            return f"`{' '.join(self.command)}`"
        return f"{f'GET {self.path}' if self.kind == 'http_get' else 'connect'} on port {self.port}"


def read(container: str, told: Mapping[str, Any] | None, ports: Mapping[int, int]) -> Probe | None:
    """Return a probe from the worker file, or None for none. `ports` are those that changed."""
    if not told:
        return None
    values = {name: told[name] for name in Probe._fields if name in told and told[name] is not None}
    values["command"] = tuple(values.get("command", ()))
    values["port"] = ports.get(values.get("port", 0), values.get("port", 0))
    return Probe(**{**values, "container": container})


def with_default(probes: Iterable[Probe], port: int) -> list[Probe]:
    """Return readiness probes, and one of the API's port unless one of them tries a connection there."""
    found = list(probes)
    if any(probe.kind == "tcp_socket" and probe.port == port for probe in found):
        return found
    return [*found, Probe("", "tcp_socket", port, period_seconds=1, failure_threshold=1)]


class Thresholds:
    """Whether a probe counts as successful: it changes after so many answers in a row. Pure."""

    def __init__(self, probe: Probe, *, is_well: bool) -> None:
        self.is_well = is_well
        self._probe = probe
        self._in_a_row = 0  # answers that say otherwise

    def note(self, answer: bool) -> bool:
        """Note an answer; return whether the probe counts as successful now."""
        self._in_a_row = self._in_a_row + 1 if answer != self.is_well else 0
        limit = self._probe.success_threshold if answer else self._probe.failure_threshold
        if self._in_a_row and self._in_a_row >= limit:
            self.is_well, self._in_a_row = answer, 0
        return self.is_well


def ask(probe: Probe, environment: Mapping[str, str] | None = None) -> str:
    """Return why a probe fails now; empty if it does not. `environment` is that of the container's program."""
    try:
        if probe.kind == "exec":
            return _run(probe, environment)
        with socket.create_connection((HOST, probe.port), probe.timeout_seconds or 1) as connection:
            return _get(probe, connection) if probe.kind == "http_get" else ""
    except OSError as error:
        if error.errno is None:
            return f"no answer within {probe.timeout_seconds:g} s"
        return (error.strerror or str(error)).lower()


def _get(probe: Probe, connection: socket.socket) -> str:
    path = probe.path if probe.path.startswith("/") else f"/{probe.path}"
    head = f"GET {path} HTTP/1.1\r\nHost: {HOST}:{probe.port}\r\nUser-Agent: kube-probe/\r\nConnection: close\r\n\r\n"
    connection.sendall(head.encode())
    found = b""
    while b"\n" not in found and len(found) < STATUS_BYTES:
        part = connection.recv(STATUS_BYTES)
        if not part:
            return "the server closed the connection"
        found += part
    words = found.split(b"\r\n")[0].decode("latin-1").split(" ")
    if len(words) < 2 or not words[1].isdigit():
        return "the answer is not HTTP"
    return "" if 200 <= int(words[1]) < 400 else f"HTTP {words[1]}"


def _run(probe: Probe, environment: Mapping[str, str] | None) -> str:
    try:
        ran = subprocess.run(
            probe.command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=probe.timeout_seconds or 1,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"no end within {probe.timeout_seconds:g} s"
    return "" if ran.returncode == 0 else f"exit code {ran.returncode}"


class Watch:
    """Asks one probe again and again, in a thread of its own. Until its first success it asks more often."""

    def __init__(self, probe: Probe, *, is_well: bool, environment: Mapping[str, str] | None = None) -> None:
        self.probe = probe
        self.reason = "it has not been asked yet"  # of the last failure
        self._state = Thresholds(probe, is_well=is_well)
        self._environment = environment
        self._eager = not is_well
        self._doubted = threading.Event()

    @property
    def is_well(self) -> bool:
        """Whether the probe counts as successful."""
        return self._state.is_well

    def start(self, on_change: Callable[[Watch], None]) -> None:
        """Begin; call `on_change` after each change."""
        threading.Thread(target=self._run, args=(on_change,), name="probe", daemon=True).start()

    def doubt(self) -> None:
        """Ask again now: something went wrong."""
        self._doubted.set()

    def _run(self, on_change: Callable[[Watch], None]) -> None:
        time.sleep(self.probe.initial_delay_seconds)
        pause = FIRST_PAUSE
        while True:
            was_well = self.is_well
            reason = ask(self.probe, self._environment)
            self.reason = reason or self.reason
            if self._state.note(not reason) != was_well:
                self._eager = False
                on_change(self)
            period = max(self.probe.period_seconds, 0.1)
            self._doubted.wait(min(pause, period) if self._eager else period)
            self._doubted.clear()
            pause = min(2 * pause, MOST_PAUSE)

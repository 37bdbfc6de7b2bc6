"""Connects to the shims of a state directory: the one that starts programs, and older ones whose programs still run.

    <state directory>/shims/start.lock      held by whoever starts a shim
                            <id>.lock       held by the shim while it lives; contains the path of its socket
                            <id>.sock       or in the directory of `fabric_jobs.state_dir` for long paths
                            <id>.log        errors of the shim

`fabric_jobs.executors.local.shim` describes the protocol. An id begins with the version of the package.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import fabric_jobs
from fabric_jobs import state_dir as places
from fabric_jobs.errors import ExecutorUnavailable
from fabric_jobs.executors import descriptors
from fabric_jobs.executors.local.shim import proc

PROGRAM = Path(__file__).parent / "shim" / "__main__.py"  # running the directory instead would take 5 ms longer
ANSWER_SECONDS = 30.0  # then the shim counts as silent
ENDING_SECONDS = 1.0  # an ending process has released its lock by then
TAKEN = 1 << 16  # bytes


class ShimError(OSError):
    """A failed request to a shim. `errno` is None if the system did not cause it."""


class ShimGone(Exception):
    """The shim has ended or does not answer; it is unknown whether it got the last request."""


class ShimConnection:
    """A connection to one shim: one socket for requests, and one for the ends of attempts."""

    def __init__(self, shim: str, path: str) -> None:
        """Connect. Raise OSError or ShimGone if the shim cannot be reached."""
        self.shim = shim
        self._asking = threading.Lock()
        with ExitStack() as stack:
            self.events = stack.enter_context(_connected(path))
            self._requests = stack.enter_context(_connected(path))
            _, self._text = _ask(self.events, {"do": "subscribe"})
            self.events.setblocking(False)
            stack.pop_all()

    def request(self, **request: Any) -> bool:
        """Send a request and return whether the shim carried it out. Raises ShimError and ShimGone."""
        with self._asking:
            return _ask(self._requests, request)[0]

    def ended(self) -> list[str] | None:
        """Return the names of ended attempts that have been reported; None if the shim is gone."""
        try:
            found = self.events.recv(TAKEN)
        except BlockingIOError:
            return []
        except OSError:
            return None
        if not found:
            return None
        *lines, self._text = (self._text + found).split(b"\n")
        return [json.loads(line)["ended"] for line in lines]

    def hang_up(self) -> None:
        """Shut the connection down, which wakes threads that wait for its events."""
        for connection in (self.events, self._requests):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close both sockets."""
        for connection in (self.events, self._requests):
            connection.close()


class Shims:
    """The shims of one state directory."""

    def __init__(self, state_dir: Path) -> None:
        """Start nothing before it is needed."""
        self._state_dir = state_dir
        self._directory = state_dir / "shims"
        self._known: dict[str, ShimConnection] = {}
        self._lost: list[ShimConnection] = []  # the thread that waits for their events closes them
        self._current = ""
        self._lock = threading.RLock()
        self._version = fabric_jobs.__version__

    def current(self) -> ShimConnection:
        """Return the shim that starts programs; start it if there is none. Raises OSError and ExecutorUnavailable."""
        with self._lock:
            found = self.of(self._current) if self._current else None
            if found is not None:
                return found
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            with open(self._directory / "start.lock", "w", opener=places.private_opener) as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                for shim in self._here():
                    found = self.of(shim)
                    if found is not None:
                        break
                self._current = found.shim if found is not None else self._start()
            found = found or self.of(self._current)
            if found is None:
                raise ExecutorUnavailable(f"the process that starts programs has ended: {self._log(self._current)}")
            return found

    def of(self, shim: str) -> ShimConnection | None:
        """Return the shim with that id; None if it has ended. Raises OSError, and ExecutorUnavailable if it does not answer."""
        with self._lock:
            text = self._held(shim)
            if text is None:
                return None
            if shim not in self._known:
                try:
                    made = self._connect(shim, json.loads(text)["socket"])
                except (OSError, ValueError, ShimGone) as error:
                    if self._has_ended(shim):
                        return None
                    raise ExecutorUnavailable(f"the process that starts programs does not answer: {error}") from error
                self._known[shim] = made
            return self._known[shim]

    def connections(self) -> list[ShimConnection]:
        """Return the connections whose events to wait for."""
        with self._lock:
            return [*self._known.values(), *self._lost]

    def lose(self, connection: ShimConnection) -> None:
        """Drop a connection that did not answer. The next use makes a new one if the shim lives."""
        with self._lock:
            if self._known.get(connection.shim) is connection:
                self._lost.append(self._known.pop(connection.shim))
        connection.hang_up()

    def forget(self, connection: ShimConnection) -> None:
        """Close a connection that has ended."""
        with self._lock:
            if self._known.get(connection.shim) is connection:
                del self._known[connection.shim]
            self._lost = [other for other in self._lost if other is not connection]
        connection.close()

    def _has_ended(self, shim: str) -> bool:
        """Tell whether an unreachable shim has ended or is about to. Its lock is the last thing it releases."""
        deadline = time.monotonic() + ENDING_SECONDS
        while self._held(shim) is not None:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.005)
        return True

    def _connect(self, shim: str, path: str) -> ShimConnection:
        made = ShimConnection(shim, path)
        if not shim.startswith(f"{self._version}-"):
            try:
                made.request(do="retire")
            except ShimGone:
                made.close()
                raise
        return made

    def _here(self) -> list[str]:
        """Return the ids of this version's shims."""
        return [path.stem for path in self._directory.glob(f"{self._version}-*.lock")]

    def _held(self, shim: str) -> str | None:
        """Return the text in the lock file of a living shim; None if the shim has ended."""
        try:
            descriptor = os.open(self._directory / f"{shim}.lock", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        with open(descriptor) as file:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return file.read()
        return None

    def _start(self) -> str:
        for path in self._directory.glob("*.lock"):  # of killed shims
            if path.stem != "start" and self._held(path.stem) is None:
                for name in (path, path.with_suffix(".sock")):
                    name.unlink(missing_ok=True)
        shim = f"{self._version}-{secrets.token_hex(4)}"
        path = places.make_socket_path(self._state_dir, f"{self._directory.name}/{shim}.sock")
        limit = descriptors.of_programs()
        words = [sys.executable, "-I", "-S", "-X", "utf8", str(PROGRAM), shim, str(self._directory), str(path)]
        environment = {key: value for key, value in os.environ.items() if key != proc.MARK}
        started = subprocess.run(
            [*words, "" if limit is None else str(limit)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
            check=False,
        )
        said = started.stdout.decode(errors="replace").strip()
        if said != "ready":
            raise ExecutorUnavailable(f"the process that starts programs cannot be started: {said[-200:]}")
        return shim

    def _log(self, shim: str) -> str:
        try:
            return (self._directory / f"{shim}.log").read_text(errors="replace")[-200:]
        except OSError:
            return "nothing is known about it"

    def close(self) -> None:
        """Disconnect from all shims; their programs keep running."""
        for connection in self.connections():
            self.forget(connection)


def text_of(value: str | Path) -> str:
    """Return a path, word or variable as the shim decodes it: as UTF-8, whatever this process's encoding is."""
    return os.fsencode(value).decode("utf-8", "surrogateescape")


def _ask(connection: socket.socket, request: dict[str, Any]) -> tuple[bool, bytes]:
    """Send a request and wait for its answer; return whether it was done, and the bytes after the answer."""
    text = b""
    try:
        connection.sendall(json.dumps(request).encode() + b"\n")
        while b"\n" not in text:
            found = connection.recv(TAKEN)
            if not found:
                raise ShimGone("it has ended")
            text += found
    except OSError as error:
        raise ShimGone(str(error)) from error
    line, _, rest = text.partition(b"\n")
    answer = json.loads(line)
    if "error" in answer:
        raise ShimError(answer["errno"], answer["error"])
    return bool(answer["done"]), rest


def _connected(path: str) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    made.settimeout(ANSWER_SECONDS)
    try:
        made.connect(path)
    except OSError:
        made.close()
        raise
    return made

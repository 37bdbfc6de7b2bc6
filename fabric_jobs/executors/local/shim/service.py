"""The loop of the shim: handles requests, reaps programs, sends events."""

from __future__ import annotations

import errno
import json
import os
import select
import signal
import socket
import sys
import time
from contextlib import suppress

from .attempts import Attempts

TYPE_CHECKING = False  # `typing` is slow to import
if TYPE_CHECKING:
    from typing import Any

FIRST_SECONDS = 10.0  # the shim's starter has connected by then
SEND_SECONDS = 5.0  # a client that does not read its answer is then disconnected
TAKEN = 1 << 16  # bytes


class Client:
    """A connection."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(SEND_SECONDS)
        self.connection = connection
        self.text = b""  # an incomplete request
        self.subscribed = False

    def requests(self) -> list[bytes] | None:
        """Return the complete requests received; None if the connection has ended."""
        try:
            found = self.connection.recv(TAKEN, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return []
        except OSError:
            return None
        *lines, self.text = (self.text + found).split(b"\n")
        return lines if found else None

    def say(self, answer: dict[str, Any], flags: int = 0) -> bool:
        """Send a line; return False if the client does not take it."""
        line = json.dumps(answer).encode() + b"\n"
        try:
            if flags:
                return self.connection.send(line, flags) == len(line)
            self.connection.sendall(line)
        except OSError:
            return False
        return True


class Shim:
    """A shim while it lives."""

    def __init__(self, shim: str, listener: socket.socket) -> None:
        """Serve on a listening socket."""
        self._listener = listener
        self._clients: dict[int, Client] = {}
        self._retired = False
        self._first = time.monotonic() + FIRST_SECONDS
        self._poll = select.poll()
        self._attempts = Attempts(shim, self._tell, self._poll)
        self._woken, waking = os.pipe()
        for descriptor in (self._woken, waking):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(waking, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _nothing)
        for descriptor in (self._woken, listener.fileno()):
            self._poll.register(descriptor, select.POLLIN)

    def run(self) -> None:
        """Serve until nobody is connected and nothing runs."""
        while True:
            seconds = self._attempts.tick()
            if self._is_over():
                return
            if self._first and not self._clients:
                left = max(0.0, self._first - time.monotonic())
                seconds = left if seconds is None else min(seconds, left)
            for descriptor, _ in self._poll.poll(None if seconds is None else 1000 * seconds + 0.5):
                if descriptor == self._woken:
                    self._drain()
                    self._attempts.reap()
                elif descriptor == self._listener.fileno():
                    self._accept()
                elif self._attempts.templates.serves(descriptor):
                    self._attempts.templates.serve(descriptor)
                elif descriptor in self._clients:
                    self._serve(descriptor)

    def _is_over(self) -> bool:
        if self._attempts.busy:
            return False
        waits = self._first and time.monotonic() < self._first
        return self._retired or not (self._clients or waits)

    def _drain(self) -> None:
        with suppress(BlockingIOError):
            while os.read(self._woken, TAKEN):
                pass

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                time.sleep(0.05)  # try again until there is room
            return
        self._first = 0.0
        self._clients[connection.fileno()] = Client(connection)
        self._poll.register(connection.fileno(), select.POLLIN)

    def _serve(self, descriptor: int) -> None:
        client = self._clients[descriptor]
        lines = client.requests()
        if lines is None:
            self._let_go(descriptor)
            return
        for line in lines:
            if not client.say(self._answer(client, line)):
                self._let_go(descriptor)
                return

    def _let_go(self, descriptor: int) -> None:
        self._poll.unregister(descriptor)
        self._clients.pop(descriptor).connection.close()

    def _answer(self, client: Client, line: bytes) -> dict[str, Any]:
        try:
            return {"done": self._do(client, json.loads(line))}
        except OSError as error:
            named = f": '{error.filename}'" if error.filename else ""
            return {"error": f"{error.strerror or error}{named}", "errno": error.errno}
        except Exception as error:  # one request must not end all attempts
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
            return {"error": str(error), "errno": None}

    def _do(self, client: Client, request: dict[str, Any]) -> bool:
        match request["do"]:
            case "start":
                if self._retired:
                    raise OSError(errno.EAGAIN, "another shim has taken over")
                return self._attempts.start(request)
            case "stop":
                return self._attempts.stop(request["name"], request["grace"])
            case "sweep":
                return self._attempts.sweep(request)
            case "subscribe":
                client.subscribed = True
            case "retire":
                self._retired = True
        return True

    def _tell(self, name: str) -> None:
        for descriptor, client in list(self._clients.items()):
            if client.subscribed and not client.say({"ended": name}, socket.MSG_DONTWAIT):
                self._let_go(descriptor)  # it checks every attempt when it reconnects


def _nothing(*_: object) -> None:
    """Do nothing: a signal only wakes the loop."""

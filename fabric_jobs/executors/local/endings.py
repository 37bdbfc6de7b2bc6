"""Waits for attempts to end, and reports it within this process."""

from __future__ import annotations

import select
import socket
import threading
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue

from fabric_jobs.executors.attempt_files.index import LogIndex
from fabric_jobs.executors.local import legacy
from fabric_jobs.executors.local.connection import TAKEN, Shims

WAKE, AGAIN = b"w", b"a"  # sent to the bell: end the wait, or wait for more


class Endings:
    """The attempts whose ends are awaited: by name, the handle and the shim that will report it."""

    def __init__(self, root: Path, shims: Shims) -> None:
        """Index the logs of awaited attempts, in directories below `root`."""
        self._root = root
        self._shims = shims
        self._bell = Bell(shims)
        self._expected: dict[str, tuple[str, str]] = {}
        self._over: SimpleQueue[str] = SimpleQueue()  # names of ended attempts that no shim reports
        self._lock = threading.Lock()
        self._waiting = threading.Lock()
        self._closed = False
        self._index = LogIndex()

    def expect(self, name: str, handle: str, shim: str) -> bool:
        """Let `wait` report the end of a shim's attempt; return whether this is new."""
        with self._lock:
            is_new = name not in self._expected
            self._expected[name] = (handle, shim)
        if is_new:
            self._index.follow(self._root / name)
            self._bell.ring(AGAIN)  # there may be a new connection to listen to
        return is_new

    def expect_legacy(self, name: str, handle: str) -> None:
        """Let `wait` report the end of an attempt that an older version has started."""
        if self.expect(name, handle, ""):
            threading.Thread(target=self._await_legacy, args=(name,), name="attempt-watch", daemon=True).start()

    def tell(self, name: str, handle: str) -> None:
        """Let `wait` report an attempt that has ended."""
        with self._lock:
            self._expected[name] = (handle, "")
        self._over.put(name)
        self._bell.ring(AGAIN)

    def forget(self, name: str) -> None:
        """Do not report an attempt."""
        self._take([name], [])

    def wait(self) -> tuple[str, ...]:
        """Return the handles of attempts that may have ended; none after `wake` or `close`."""
        with self._waiting:
            while not self._closed:
                rung, over, gone = self._bell.wait()
                with suppress(Empty):
                    while True:
                        over.append(self._over.get_nowait())
                handles = self._take(over, gone)
                if handles or WAKE in rung:
                    return handles
            self._let_go()
        return ()

    def wake(self) -> None:
        """End the wait, or the next one."""
        self._bell.ring(WAKE)

    def close(self) -> None:
        """End the wait for good, and disconnect from the shims."""
        self._closed = True
        self._index.close()
        self._bell.ring(WAKE)
        if self._waiting.acquire(blocking=False):
            self._let_go()
            self._waiting.release()

    def _let_go(self) -> None:
        self._shims.close()
        self._bell.close()

    def _take(self, over: list[str], gone: list[str]) -> tuple[str, ...]:
        with self._lock:
            lost = [name for name, (_, shim) in self._expected.items() if shim in gone]
            names = [name for name in dict.fromkeys([*over, *lost]) if name in self._expected]
            taken = {name: self._expected.pop(name)[0] for name in names}
        for name in taken:
            self._index.forget(self._root / name)
        return tuple(taken.values())

    def _await_legacy(self, name: str) -> None:
        legacy.wait(self._root / name)
        self._over.put(name)
        self._bell.ring(AGAIN)


class Bell:
    """Waits for a message of any shim, or for a ring from this process."""

    def __init__(self, shims: Shims) -> None:
        self._shims = shims
        self._rung, self._ring = socket.socketpair()
        for end in (self._rung, self._ring):
            end.setblocking(False)

    def ring(self, what: bytes) -> None:
        """End the current or next wait, which receives the byte `what`."""
        with suppress(OSError):  # already rung, or closed
            self._ring.send(what)

    def wait(self) -> tuple[bytes, list[str], list[str]]:
        """Return the bytes rung, the names of ended attempts, and the ids of shims that are gone."""
        connections = {connection.events.fileno(): connection for connection in self._shims.connections()}
        poll = select.poll()
        for descriptor in (self._rung.fileno(), *connections):
            poll.register(descriptor, select.POLLIN)
        rung, over, gone = b"", [], []
        for descriptor, _ in poll.poll():
            if descriptor == self._rung.fileno():
                with suppress(OSError):
                    rung = self._rung.recv(TAKEN)
                continue
            connection = connections[descriptor]
            names = connection.ended()
            if names is None:
                self._shims.forget(connection)
                gone.append(connection.shim)
            over += names or []
        return rung, over, gone

    def close(self) -> None:
        """Close the bell."""
        self._rung.close()
        self._ring.close()

"""An executor in memory, where the test decides what happens to each attempt."""

from __future__ import annotations

import threading
from queue import SimpleQueue

from fabric_jobs.errors import ExecutorUnavailable
from fabric_jobs.executors.base import (
    LOST,
    STOPPED,
    STREAMS,
    AttemptExit,
    AttemptSpec,
    Inside,
    LogPage,
    LogPart,
    LogQuery,
    Note,
)


class FakeExecutor:
    """Keeps attempts in memory. A test controls it with `finish`, `lose` and `unreachable`."""

    name = "fake"

    def __init__(self) -> None:
        self.specs: dict[str, AttemptSpec] = {}
        self.exits: dict[str, AttemptExit] = {}
        self.output: dict[tuple[str, str], bytes] = {}
        self.notes: dict[str, Note] = {}
        self.unreachable = False
        self.deaf: set[str] = set()  # handles of attempts that ignore requests to end
        self._changed: SimpleQueue[str | None] = SimpleQueue()

    def finish(self, handle: str, code: int, *, stdout: bytes = b"", stderr: bytes = b"") -> None:
        """Make the attempt end with an exit code."""
        self.output[handle, "stdout"] = stdout
        self.output[handle, "stderr"] = stderr
        self._end(handle, AttemptExit(code))

    def lose(self, handle: str) -> None:
        """Make the attempt vanish."""
        self._end(handle, AttemptExit(None, LOST))

    def inside(self, name: str) -> Inside:
        """Return empty names: nothing runs there."""
        return Inside(files=f"/{name}", api_endpoint="http://127.0.0.1:1/px", socket="/nowhere.sock")

    def start(self, spec: AttemptSpec) -> str:
        """Remember the attempt."""
        self._reach()
        self.specs.setdefault(spec.name, spec)
        return spec.name

    def poll(self, handle: str) -> AttemptExit | None:
        """Return what the test said."""
        self._reach()
        return self.exits.get(handle) or (None if handle in self.specs else AttemptExit(None, LOST))

    def stop(self, handle: str, grace: float) -> None:
        """End the attempt at once, or after the grace period if it is deaf."""
        self._reach()
        if handle not in self.specs or handle in self.exits:
            return
        if handle not in self.deaf:
            self._end(handle, AttemptExit(143, STOPPED))
            return
        force = threading.Timer(grace, self._end, (handle, AttemptExit(137, STOPPED)))
        force.daemon = True
        force.start()

    def logs(self, handle: str, stream: str, offset: int, limit: int) -> bytes:
        """Return what the test said."""
        self._reach()
        text = self.output.get((handle, stream), b"")
        return text[offset:][:limit]

    def size(self, handle: str, stream: str) -> int:
        """Return the size of what the test said."""
        self._reach()
        return len(self.output.get((handle, stream), b""))

    def merged(self, handle: str, limit: int) -> bytes:
        """Return stdout, then stderr."""
        return self.logs(handle, "stdout", 0, limit) + self.logs(handle, "stderr", 0, limit)

    def address(self, handle: str) -> tuple[str, int]:
        """Fail, since nothing listens."""
        raise ExecutorUnavailable(f"{handle} has no port")

    def page(self, handle: str, query: LogQuery) -> LogPage:
        """Return new output of stdout, then of stderr, without times."""
        offsets = dict(zip(STREAMS, map(int, (query.cursor or "0-0").split("-")), strict=True))
        parts: list[LogPart] = []
        left = query.limit
        for stream in query.streams:
            text = self.logs(handle, stream, offsets[stream], left + 1)
            more = len(text) > left
            whole = text[:left].rpartition(b"\n")
            text = whole[0] + whole[1] if query.whole or more else text
            text = text or (self.logs(handle, stream, offsets[stream], left) if more else b"")  # one long line
            offsets[stream] += len(text)
            left -= len(text)
            if text:
                parts.append(LogPart(stream, None, text))
            if more:
                break
        return LogPage(tuple(parts), "-".join(map(str, offsets.values())), more=more)

    def note(self, handle: str) -> Note:
        """Return what the test said."""
        self._reach()
        return self.notes.get(handle, Note())

    def remove(self, handle: str) -> None:
        """Forget the output."""
        self.notes.pop(handle, None)
        self.output = {key: value for key, value in self.output.items() if key[0] != handle}

    def changed(self) -> tuple[str, ...]:
        """Wait for a change made by the test."""
        handle = self._changed.get()
        return () if handle is None else (handle,)

    def wake(self) -> None:
        """Let one `changed` return."""
        self._changed.put(None)

    def close(self) -> None:
        """End `changed`."""
        self.wake()

    def _end(self, handle: str, ended: AttemptExit) -> None:
        self.exits.setdefault(handle, ended)
        self._changed.put(handle)

    def _reach(self) -> None:
        if self.unreachable:
            raise ExecutorUnavailable("the place does not answer")

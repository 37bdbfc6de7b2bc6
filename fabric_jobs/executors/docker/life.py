"""The life of one attempt: its image is fetched, its container made and started, its output copied, its end written down.

    <root>/<name>/spec.json       what was asked for: the attempt is accepted
                  lock            held by the process that looks after it
                  made            its container was made: when that is not there any more, the attempt is lost
                  stopped         somebody asked it to stop
                  note            what keeps the program from running yet
                  stdout, stderr, index, files/
                  exit            how it ended; its output is whole then, and the container can go

Every step can be done again: who comes after a process that died looks at what is there, and goes on.
"""

from __future__ import annotations

import fcntl
import json
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from fabric_jobs.errors import ExecutorUnavailable, InvalidInput
from fabric_jobs.executors.base import LOST, NOT_STARTED, OUT_OF_MEMORY, STOPPED, AttemptExit
from fabric_jobs.executors.docker.copying import Copy
from fabric_jobs.executors.docker.engine import Container, Engine, Gone, Refused, Stream
from fabric_jobs.executors.docker.frames import Unlogged, after, frames
from fabric_jobs.executors.docker.making import make, say, stop_signal
from fabric_jobs.executors.docker.reach import Reach

AGAIN_SECONDS = 1.0  # after the engine did not answer
LATE_SECONDS = 0.5  # a container that ends so long after its output was cut off may have printed more
SETTLED_SECONDS = 0.1  # a program as old as this hears a signal
KILL_SECONDS = 30.0  # what is killed is over by then
REFUSED = 125  # the exit code of a program that could not be started, as `docker run` has it
ENDED_WHEN_ASKED = 128 + 15  # what was stopped before it began


class Life:
    """One attempt in this process: a thread that carries it on."""

    def __init__(self, directory: Path, engine: Engine, reach: Reach, on_end: Callable[[], None]) -> None:
        """`on_end()` is called when the attempt is over, by this process or another one."""
        self.over = threading.Event()
        self.trouble: ExecutorUnavailable | None = None  # why nobody can tell what becomes of it
        self._directory = directory
        self._engine = engine
        self._reach = reach
        self._on_end = on_end
        self._closing = threading.Event()
        self._stream: Stream | None = None
        self._started_at = 0.0
        self._thread = threading.Thread(target=self._run, name=f"docker-{directory.name}", daemon=True)
        self._thread.start()

    @property
    def container(self) -> str:
        """The name of its container."""
        return f"fabric-jobs-{self._reach.owner}-{self._directory.name}"

    def stop(self, grace: float) -> None:
        """Ask, wait, force; return when it is over. Raises ExecutorUnavailable when it is not."""
        (self._directory / "stopped").touch()
        if not self._signal_and_wait(stop_signal(self._directory, self._engine), grace):
            self._signal_and_wait("SIGKILL", KILL_SECONDS)
        if not self.over.is_set():
            raise self.trouble or ExecutorUnavailable(f"the container {self.container} does not end.")

    @property
    def is_done(self) -> bool:
        """Whether there is nothing left to do, not even to delete the container."""
        return self.over.is_set() and not self._thread.is_alive()

    def let_go(self) -> None:
        """Stop looking after it, soon; it runs on."""
        self._closing.set()
        stream = self._stream
        if stream is not None:
            stream.interrupt()

    def join(self) -> None:
        """Wait until nobody here looks after it."""
        self._thread.join(KILL_SECONDS)

    def _signal_and_wait(self, signal: str, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        heard = False
        while not self.over.is_set():
            settled = time.monotonic() - self._started_at >= SETTLED_SECONDS
            if not heard and (settled or signal == "SIGKILL"):
                heard = self._engine.kill(self.container, signal)  # not before it runs
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self.over.wait(left if heard else min(left, 0.02))
        return True

    def _run(self) -> None:
        with open(self._directory / "lock", "a") as lock:
            if not self._own(lock.fileno()):
                return
            while not self._closing.is_set():
                try:
                    self._carry_on()
                except ExecutorUnavailable as error:
                    self.trouble = error
                except OSError as error:  # such as a full disk
                    self.trouble = ExecutorUnavailable(f"{self._directory} cannot be written: {error.strerror}.")
                else:
                    if self.over.is_set():
                        break
                self._closing.wait(AGAIN_SECONDS)
        if self.over.is_set():
            with suppress(ExecutorUnavailable):  # what is left is swept away by the next owner
                self._engine.remove(self.container)

    def _own(self, lock: int) -> bool:
        """Wait until no other process looks after it."""
        while not self._closing.is_set():
            with suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            if (self._directory / "exit").exists():
                break
            self._closing.wait(0.05)
        if (self._directory / "exit").exists():
            self._tell()
        return False

    def _carry_on(self) -> None:
        if (self._directory / "exit").exists():
            self._tell()
            return
        found = self._look()
        self.trouble = None
        if found is None and (self._directory / "made").exists():
            self._end(AttemptExit(None, LOST))
            return
        if found is None or found.status == "created":
            if not self._begin(is_made=found is not None):
                return
        else:
            self._catch_up(follow=found.runs)
        self._await_end()

    def _look(self) -> Container | None:
        try:
            found = self._engine.container(self.container)
        except Gone:
            return None
        if found.status in ("removing", "dead"):  # somebody deletes it: nobody will know how it ended
            (self._directory / "made").touch()
            return None
        return found

    def _begin(self, *, is_made: bool) -> bool:
        """Make and start the container, and copy what it prints to its end; return False when it does not come to that."""
        try:
            if not is_made:
                make(self.container, self._directory, self._engine, self._reach)
            (self._directory / "made").touch()
            if (self._directory / "stopped").exists():
                self._end(AttemptExit(ENDED_WHEN_ASKED, STOPPED))
                return False
            with self._reading(self._engine.attach(self.container)) as output:
                self._engine.start(self.container)
                self._started_at = time.monotonic()
                say(self._directory, "")
                self._copy(frames(output))
        except (Refused, InvalidInput) as error:
            self._refuse(error.message)
            return False
        except Gone as error:
            self._refuse(str(error))
            return False
        return True

    def _catch_up(self, *, follow: bool) -> None:
        """Copy what was printed while nobody listened, and to its end what is printed now."""
        self._started_at = time.monotonic()
        unlogged = Unlogged()
        with self._reading(self._engine.logs(self.container, follow=follow)) as log:
            found = ((stream, unlogged.bytes_of(stream, frame)) for stream, frame in frames(log))
            have = {name: _size(self._directory / name) for name in ("stdout", "stderr")}
            self._copy(after(found, have))

    def _copy(self, found: Iterable[tuple[str, bytes]]) -> None:
        with Copy(self._directory) as copy:
            for stream, text in found:
                copy.write(stream, text)

    def _await_end(self) -> None:
        cut_at = time.monotonic()
        if self._closing.is_set():
            return
        try:
            with self._reading(self._engine.wait(self.container)) as waiting:
                said = b"".join(waiting)
            if self._closing.is_set():
                return
            code = int(json.loads(said)["StatusCode"])
            found = self._engine.container(self.container) if code else None
        except (Gone, ValueError, KeyError):
            if self._look() is None:
                self._end(AttemptExit(None, LOST))
            return
        if found is not None and found.status in ("removing", "dead"):
            self._end(AttemptExit(None, LOST))
            return
        if time.monotonic() - cut_at > LATE_SECONDS:
            self._catch_up(follow=False)
        self._end(AttemptExit(code, OUT_OF_MEMORY if found is not None and found.out_of_memory else ""))

    def _refuse(self, message: str) -> None:
        with open(self._directory / "stderr", "ab") as file:
            file.write(f"{message.rstrip('.')}.\n".encode())
        self._end(AttemptExit(REFUSED, NOT_STARTED))

    def _end(self, ended: AttemptExit) -> None:
        reason = STOPPED if (self._directory / "stopped").exists() and ended.reason != LOST else ended.reason
        partial = self._directory / "exit.partial"
        partial.write_text(json.dumps({"code": ended.code, "reason": reason}))
        partial.rename(self._directory / "exit")
        say(self._directory, "")
        self._tell()

    def _tell(self) -> None:
        self.over.set()
        self._on_end()

    def _reading(self, stream: Stream) -> Stream:
        self._stream = stream
        if self._closing.is_set():
            stream.interrupt()
        return stream


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def read_exit(directory: Path) -> AttemptExit | None:
    """Return how an attempt ended, as it was written down; None when it was not."""
    try:
        found = json.loads((directory / "exit").read_text())
    except (FileNotFoundError, NotADirectoryError):
        return None
    return AttemptExit(found["code"], found["reason"])

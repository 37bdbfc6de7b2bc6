"""The steps of one attempt: make and start its container, copy its output, record its end.

    <root>/<name>/spec.json       the spec; with it the attempt is accepted
                  made            its container was made; if the container is missing now, the attempt is lost
                  stopped         somebody asked it to stop
                  note            why the program does not run yet
                  stdout, stderr, index, files/
                  exit            how it ended; then its output is complete, and the container is deleted

Every step is idempotent: after a process has died, the next one reads the files and continues.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from fabric_jobs.docker.engine import Container, DockerEngine, Stream
from fabric_jobs.docker.failures import Gone, Refused
from fabric_jobs.errors import ExecutorUnavailable, InvalidInput
from fabric_jobs.executors import attempt_files
from fabric_jobs.executors.attempt_files.exits import read_exit, write_exit
from fabric_jobs.executors.attempt_files.specs import Forgotten, Secret, Unreadable, read_spec
from fabric_jobs.executors.attempt_files.texts import say
from fabric_jobs.executors.base import LOST, NOT_STARTED, OUT_OF_MEMORY, STOPPED, AttemptExit
from fabric_jobs.executors.docker import members
from fabric_jobs.executors.docker.copying import ContainerOutput
from fabric_jobs.executors.docker.frames import Unlogged, after, frames
from fabric_jobs.executors.docker.making import Unwanted, furnish, make
from fabric_jobs.executors.docker.reach import Reach

CUT_SECONDS = 2.0  # after this time, a container whose output was cut off is attached to again
REFUSED = 125  # exit code of `docker run` for a program that could not be started
ENDED_WHEN_ASKED = 128 + 15  # exit code of what was stopped before it began


class Steps:
    """Handles one attempt in one thread. Other threads end it with `closing` and `stream`."""

    def __init__(
        self, directory: Path, engine: DockerEngine, reach: Reach, output: ContainerOutput, secret: Secret
    ) -> None:
        self.closing = threading.Event()
        self.stream: Stream | None = None  # what is being read
        self.started_at = 0.0  # by time.monotonic(); 0 before the program runs
        self.on_begin: Callable[[], object] = lambda: None  # called once the program runs
        self._directory = directory
        self._engine = engine
        self._reach = reach
        self._output = output
        self._secret = secret
        self._has_begun_again = False

    @property
    def container(self) -> str:
        """The name of the container."""
        return container_of(self._reach, self._directory)

    def carry_on(self, on_contact: Callable[[], None]) -> None:
        """Find out the attempt's state and carry it on, if possible to its end. Call `on_contact()` once the engine answers.

        After ExecutorUnavailable or OSError, call it again.
        """
        if read_exit(self._directory) is not None:
            return
        found = self._look()
        on_contact()
        if self._is_unknown():
            self._engine.remove(self.container)  # nothing of it may run beside the next attempt
            self._end(AttemptExit(None, LOST))
            return
        if found is None and (self._directory / "made").exists():
            self._end(AttemptExit(None, LOST))
            return
        if found is None or found.status == "created":
            if self._begin(is_made=found is not None):
                self._await_end(is_whole=True)
            return
        self._catch_up(follow=found.runs)
        # A followed log ends with the container, even if its last lines were not sent.
        self._await_end(is_whole=not found.runs)

    def _look(self) -> Container | None:
        try:
            found = self._engine.container(self.container)
        except Gone:
            return None
        if found.status in ("removing", "dead"):  # being deleted: its exit code will never be known
            attempt_files.mark(self._directory / "made")
            return None
        return found

    def _begin(self, *, is_made: bool) -> bool:
        """Make and start the container and copy its output to the end; return False if it did not start."""
        if self._has_stopped() or self._waits_for_network():
            return False
        try:
            if not is_made:
                make(self.container, self._directory, self._engine, self._reach, self._is_unwanted, self._secret)
            furnish(self.container, self._directory, self._engine, self._reach)
            attempt_files.mark(self._directory / "made")
            if self._has_stopped():
                return False
            with self._reading(self._engine.attach(self.container)) as output:
                # The start that the previous process asked for may happen only now, and the program may already have ended. What it
                # printed before we attached is in the log; and starting an ended container would run it again.
                if is_made and self._engine.container(self.container).status != "created":
                    return False
                if not self._engine.start(self.container):
                    return False
                self._note_start()
                say(self._directory, "")
                self._output.copy(frames(output))
        except Unwanted:
            self._has_stopped()
            return False
        except Forgotten:
            self._end(AttemptExit(None, LOST))
            return False
        except (Refused, InvalidInput, Gone, ExecutorUnavailable) as error:
            self._fail_to_begin(error)
            return False
        return True

    def _fail_to_begin(self, error: Refused | InvalidInput | Gone | ExecutorUnavailable) -> None:
        if self._waits_for_network():
            return  # the attempt is ending
        if isinstance(error, ExecutorUnavailable):
            raise error
        if isinstance(error, Gone):  # its network or image was deleted at this moment
            self._begin_again(error)
        else:
            self._refuse(str(error))

    def _has_stopped(self) -> bool:
        """End the attempt if a stop came before its program began; return whether one did."""
        if not (self._directory / "stopped").exists():
            return False
        self._engine.remove(self.container)  # or it may still start, if the previous process asked for that
        self._end(AttemptExit(ENDED_WHEN_ASKED, STOPPED))
        return True

    def _waits_for_network(self) -> bool:
        """Return whether the container whose network this one joins does not run yet."""
        beside = members.beside(self._directory, self._reach.owner)
        if beside is None or not beside.network:
            return False
        try:
            return not self._engine.container(beside.network).runs
        except Gone:
            return True

    def _is_unknown(self) -> bool:
        """Return whether its spec or its exit is unreadable, after a loss of power or on a bad disk."""
        try:
            read_spec(self._directory)
            members.beside(self._directory, self._reach.owner)
        except Unreadable:
            return True
        return (self._directory / "exit").exists()  # unreadable, or this would not be called

    def _begin_again(self, error: Gone) -> None:
        if self._has_begun_again:
            self._refuse(str(error))
            return
        self._has_begun_again = True
        self._reach.forget()
        self._engine.remove(self.container)
        (self._directory / "made").unlink(missing_ok=True)

    def _is_unwanted(self) -> bool:
        return self.closing.is_set() or (self._directory / "stopped").exists()

    def _catch_up(self, *, follow: bool) -> None:
        """Copy output missed while nobody listened, then follow it to its end."""
        if follow:
            self._reach.open()  # its program had lost the gateway
        unlogged = Unlogged()
        with self._reading(self._engine.logs(self.container, follow=follow)) as log:
            found = ((stream, unlogged.bytes_of(stream, frame)) for stream, frame in frames(log))
            self._note_start()
            self._output.copy(after(found, self._output.sizes()))

    def _note_start(self) -> None:
        self.started_at = time.monotonic()
        self._output.follow()
        self.on_begin()

    def _await_end(self, *, is_whole: bool) -> None:
        """Record how the container ended. `is_whole`: as far as is known, all of its output has been copied."""
        cut_at = datetime.now(UTC)
        if self.closing.is_set():
            return
        try:
            code = self._engine.wait(self.container, CUT_SECONDS)
            if code is None:  # it still runs: only its output was cut off
                return
            found = self._engine.container(self.container)
        except Gone:
            if self._look() is None:
                self._end(AttemptExit(None, LOST))
            return
        if found.status in ("removing", "dead"):
            self._end(AttemptExit(None, LOST))
            return
        # If output was cut off before the end, there may be more. A remote engine's clock cannot tell.
        is_cut = not is_whole or found.ended_at > cut_at or not self._reach.around.shares_files
        if is_cut or self._lacks_its_end():  # cut and end may both have come before this thread saw either
            self._catch_up(follow=False)
        reason = OUT_OF_MEMORY if code and found.out_of_memory else ""
        self._end(AttemptExit(code, reason), found.ended_at.timestamp())

    def _lacks_its_end(self) -> bool:
        """Return whether the last line in the engine's log is missing at the end of its file."""
        with self._reading(self._engine.logs(self.container, follow=False, newest=1)) as log:
            found = [(stream, frame.partition(b" ")[2].rstrip(b"\n")) for stream, frame in frames(log)]
        return any(not self._output.ends_with(stream, text) for stream, text in found[-1:])

    def _refuse(self, message: str) -> None:
        self._output.copy([("stderr", f"{message.rstrip('.')}.\n".encode())])
        self._end(AttemptExit(REFUSED, NOT_STARTED))

    def _end(self, ended: AttemptExit, ended_at: float = 0.0) -> None:
        self._secret.forget(self._directory)
        reason = STOPPED if (self._directory / "stopped").exists() and ended.reason != LOST else ended.reason
        self._output.close()
        write_exit(self._directory, AttemptExit(ended.code, reason), ended_at if ended_at > 0 else time.time())
        say(self._directory, "")

    def _reading(self, stream: Stream) -> Stream:
        self.stream = stream
        if self.closing.is_set():
            stream.interrupt()
        return stream


def container_of(reach: Reach, directory: Path) -> str:
    """Return the name of the container of an attempt."""
    return members.container_name(reach.owner, directory.name)

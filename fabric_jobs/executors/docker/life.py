"""Carries out the steps of one attempt in a thread, unless another process does. See `steps`."""

from __future__ import annotations

import fcntl
import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from fabric_jobs.docker.engine import DockerEngine
from fabric_jobs.errors import ExecutorUnavailable
from fabric_jobs.executors.attempt_files.exits import read_exit
from fabric_jobs.executors.docker.steps import Steps

AGAIN_SECONDS = 1.0  # before a retry, if the engine did not answer
OTHERS_SECONDS = 0.05  # between two checks whether another process still handles it
SETTLED_SECONDS = 0.1  # a program of this age has its signal handlers

log = logging.getLogger(__name__)


class Life:
    """One attempt, from its acceptance to its end."""

    def __init__(self, directory: Path, engine: DockerEngine, steps: Steps, on_end: Callable[[], None]) -> None:
        """Call `on_end()` when the attempt is over, whichever process ended it."""
        self.over = threading.Event()
        self.trouble: ExecutorUnavailable | None = None  # set while its state is unknown
        self.directory = directory
        self._engine = engine
        self._steps = steps
        self._on_end = on_end
        self._thread = threading.Thread(target=self._run, name=f"docker-{directory.name}", daemon=True)
        self._thread.start()

    @property
    def container(self) -> str:
        """The name of its container."""
        return self._steps.container

    @property
    def count(self) -> int:
        """How many containers there are."""
        return 1

    @property
    def is_done(self) -> bool:
        """Whether there is nothing left to do, not even to delete the container."""
        return self.over.is_set() and not self._thread.is_alive()

    @property
    def is_settled(self) -> bool:
        """Whether its program has had time to install signal handlers."""
        return time.monotonic() - self._steps.started_at >= SETTLED_SECONDS

    def takes(self, step: Callable[[], None]) -> None:
        """Take one step, in any thread. A failure affects only this attempt."""
        try:
            step()
        except ExecutorUnavailable as error:
            self.trouble = error
        except OSError as error:  # such as a full disk
            self._note(error)
        except Exception as error:  # the attempt must outlive its thread; the error is logged
            log.exception("%s is looked at again", self.directory.name)
            self.trouble = ExecutorUnavailable(f"{self.directory.name}: {error}")

    def let_go(self) -> None:
        """Stop handling the attempt soon; it keeps running."""
        self._steps.closing.set()
        stream = self._steps.stream
        if stream is not None:
            stream.interrupt()

    def join(self, seconds: float) -> None:
        """Wait at most `seconds` until this process has let go. Leaving earlier is safe, since every step is idempotent."""
        self._thread.join(seconds)

    def _run(self) -> None:
        while not self._steps.closing.is_set() and not self._has_ended():
            try:
                with open(self.directory / "lock", "a") as lock:
                    if self._own(lock.fileno()):
                        self._carry_on()
            except OSError as error:  # out of descriptors or locks: the attempt must outlive its thread
                self._note(error)
                self._steps.closing.wait(AGAIN_SECONDS)
        if self._has_ended():
            self.over.set()
            self._on_end()
            with suppress(ExecutorUnavailable):  # the next owner sweeps what is left
                self._engine.remove(self.container)

    def _own(self, lock: int) -> bool:
        """Wait until no other process handles it; return False when there is nothing left to do."""
        while not self._steps.closing.is_set() and not self._has_ended():
            with suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            self._steps.closing.wait(OTHERS_SECONDS)
        return False

    def _carry_on(self) -> None:
        closing = self._steps.closing
        while not closing.is_set() and not self._has_ended():
            self.takes(lambda: self._steps.carry_on(self._is_well))
            if not self._has_ended():
                closing.wait(AGAIN_SECONDS)

    def _note(self, error: OSError) -> None:
        self.trouble = ExecutorUnavailable(f"{self.directory} cannot be used: {error.strerror}.")

    def _is_well(self) -> None:
        self.trouble = None

    def _has_ended(self) -> bool:
        try:
            return read_exit(self.directory) is not None
        except OSError:  # out of descriptors: not known yet
            return False

"""The containers of one attempt: the first one that ends by itself ends the others, and the attempt. See `members`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fabric_jobs.docker.engine import DockerEngine
from fabric_jobs.docker.failures import Gone
from fabric_jobs.errors import ExecutorUnavailable
from fabric_jobs.executors import attempt_files
from fabric_jobs.executors.attempt_files.exits import read_ended_at, read_exit, write_exit
from fabric_jobs.executors.attempt_files.index import LogIndex
from fabric_jobs.executors.attempt_files.merging import OURS, Merger
from fabric_jobs.executors.attempt_files.specs import Secret, Unreadable, read_spec
from fabric_jobs.executors.base import LOST, STOPPED, AttemptExit
from fabric_jobs.executors.docker import copying, members
from fabric_jobs.executors.docker.describe import LEAST_SECONDS
from fabric_jobs.executors.docker.life import AGAIN_SECONDS, Life
from fabric_jobs.executors.docker.merging import MergedFiles
from fabric_jobs.executors.docker.reach import Reach
from fabric_jobs.executors.docker.steps import Steps
from fabric_jobs.executors.docker.stops import Stops

KILL_SECONDS = 1.0  # to wait for the engine's answer
GRACE_SECONDS = 10.0  # for the containers beside the one that has ended


@dataclass(frozen=True)
class Surrounding:
    """What an executor gives to its attempts."""

    engine: DockerEngine
    reach: Reach
    index: LogIndex
    secret: Secret
    stops: Stops


class ContainerGroup:
    """An attempt of several containers, from its acceptance to its end. Each container has a `Life` of its own."""

    def __init__(self, directory: Path, surrounding: Surrounding, on_end: Callable[[], None]) -> None:
        """Call `on_end()` when the attempt is over, whichever process ended it."""
        self.over = threading.Event()
        self.directory = directory
        self._places = members.of(directory)
        self._own_trouble: ExecutorUnavailable | None = None
        self._surrounding = surrounding
        self._on_end = on_end
        self._grace = GRACE_SECONDS
        self._closing = False
        self._changed = threading.Event()
        self._watched = _periods(self._places)
        self._first = self._steps(0)
        self._first.on_begin = self._changed.set
        self._lives = [self._life(0, self._first)]
        self._thread = threading.Thread(target=self._run, name=f"docker-{directory.name}", daemon=True)
        self._thread.start()

    @property
    def trouble(self) -> ExecutorUnavailable | None:
        """Set while the state of the attempt is unknown."""
        unknown = (life.trouble for life in self._lives if life.trouble is not None and not life.over.is_set())
        return self._own_trouble or next(unknown, None)

    @property
    def container(self) -> str:
        """The name of the first container."""
        return self._first.container

    @property
    def is_done(self) -> bool:
        """Whether there is nothing left to do, not even to delete containers."""
        return self.over.is_set() and not self._thread.is_alive()

    @property
    def count(self) -> int:
        """How many containers there are."""
        return len(self._places)

    def stop(self, grace: float) -> None:
        """End all containers, by force after `grace` seconds. Of two calls the shorter grace period counts."""
        self._grace = min(self._grace, grace)
        self._changed.set()

    def let_go(self) -> None:
        """Stop handling the attempt soon; it keeps running."""
        self._closing = True
        self._changed.set()
        for life in self._lives:
            life.let_go()

    def join(self, seconds: float) -> None:
        """Wait at most `seconds` until this process has let go."""
        until = time.monotonic() + seconds
        self._thread.join(seconds)
        for life in self._lives:
            life.join(max(0.0, until - time.monotonic()))

    def _run(self) -> None:
        self._changed.set()
        while not self._closing and not self.over.is_set():
            self._changed.wait(min(self._watched.values(), default=None))
            self._changed.clear()
            try:
                self._look()
                self._end_the_unhealthy()
                self._own_trouble = None
            except (OSError, RuntimeError) as error:  # such as a full disk, or too many threads
                self._own_trouble = ExecutorUnavailable(f"{self.directory} cannot be used: {error}.")
                time.sleep(AGAIN_SECONDS)
                self._changed.set()
        if self.over.is_set():
            self._clean_up()

    def _look(self) -> None:
        is_ending = self._is_ending()
        # The others join the network of the first one, so that must run.
        while len(self._lives) < self.count and (is_ending or self._first.started_at):
            self._lives.append(self._life(len(self._lives), self._steps(len(self._lives))))
        if len(self._lives) == self.count and all(life.over.is_set() for life in self._lives):
            self._end()
        elif is_ending:
            for life in self._lives:
                if not life.over.is_set():
                    attempt_files.mark(life.directory / "stopped")
                    self._surrounding.stops.ask(life, self._grace)

    def _end_the_unhealthy(self) -> None:
        """Kill containers whose health check fails: such a container has ended by itself."""
        engine = self._surrounding.engine
        for number, life in enumerate(self._lives):
            if number not in self._watched or life.over.is_set():
                continue
            with suppress(Gone, ExecutorUnavailable):  # its own thread finds out
                if engine.container(life.container).is_unhealthy and engine.kill(
                    life.container, "SIGKILL", KILL_SECONDS
                ):
                    text = f"container {number} is killed: its liveness probe fails\n".encode()
                    Merger(self.directory, OURS).append("stderr", text)

    def _is_ending(self) -> bool:
        return (self.directory / "stopped").exists() or any(read_exit(place) is not None for place in self._places)

    def _end(self) -> None:
        """Record the end of the attempt: that of the container that was the first to end by itself."""
        by_itself = [place for place in self._places if not (place / "stopped").exists()] or self._places
        ends = [(read_exit(place) or AttemptExit(None, LOST), read_ended_at(place)) for place in by_itself]
        # When a container was lost is not known, only when it was missed.
        first, at = min(ends, key=lambda each: (each[0].reason != LOST, each[1]))
        is_stopped = (self.directory / "stopped").exists() and first.reason != LOST
        self._surrounding.index.forget(self.directory)
        copying.sync(self.directory)
        write_exit(self.directory, AttemptExit(first.code, STOPPED if is_stopped else first.reason), at)
        self.over.set()
        self._on_end()

    def _clean_up(self) -> None:
        """Delete the volumes, once no container uses them."""
        for life in self._lives:
            life.join(GRACE_SECONDS)
        engine, owner = self._surrounding.engine, self._surrounding.reach.owner
        with suppress(ExecutorUnavailable):  # the next owner sweeps what is left
            for name in members.volumes(self.directory, owner, members.shared_count(self.directory)):
                engine.remove_volume(name)

    def _steps(self, number: int) -> Steps:
        found = self._surrounding
        output = MergedFiles(self.directory, number, found.index)
        return Steps(self._places[number], found.engine, found.reach, output, found.secret)

    def _life(self, number: int, steps: Steps) -> Life:
        return Life(self._places[number], self._surrounding.engine, steps, self._changed.set)


def _periods(places: list[Path]) -> dict[int, float]:
    """Return, for each container with a health check, how often it is looked at, in seconds."""
    found = {}
    for number, place in enumerate(places):
        with suppress(OSError, Unreadable):  # then the attempt is lost, in its own thread
            health = read_spec(place).processes[0].health
            if health is not None:
                found[number] = max(health.period, LEAST_SECONDS)
    return found

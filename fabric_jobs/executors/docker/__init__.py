"""The Docker executor: an attempt is a container, and its state is in a directory. See `steps`."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue

from fabric_jobs.docker.engine import DockerEngine
from fabric_jobs.docker.failures import Gone
from fabric_jobs.errors import ExecutorUnavailable
from fabric_jobs.executors import attempt_files, descriptors
from fabric_jobs.executors.attempt_files import specs
from fabric_jobs.executors.attempt_files.exits import read_exit
from fabric_jobs.executors.attempt_files.index import LogIndex
from fabric_jobs.executors.attempt_files.kept import Kept
from fabric_jobs.executors.attempt_files.texts import NOTE
from fabric_jobs.executors.base import LOST, AttemptExit, AttemptSpec, Doors, Inside, Note
from fabric_jobs.executors.docker import describe, making, members
from fabric_jobs.executors.docker.copying import OwnFiles
from fabric_jobs.executors.docker.group import ContainerGroup, Surrounding
from fabric_jobs.executors.docker.life import Life
from fabric_jobs.executors.docker.patience import Patience
from fabric_jobs.executors.docker.reach import Reach
from fabric_jobs.executors.docker.steps import Steps, container_of
from fabric_jobs.executors.docker.stops import Stops

NOTE_LENGTH = 100
JOIN_SECONDS = 1.0  # for all threads together; a call that takes longer is abandoned
DESCRIPTORS = 8  # per attempt, in this process: lock, logs, output, end, connections to the gateway
PROXY_SECONDS = 0.1  # a connection still open after this time was accepted by the program


class DockerExecutor(Kept):
    """Runs attempts as containers. `fabric_jobs.executors.base.Executor` has the contract of each method."""

    name = "docker"

    def __init__(self, root: Path, doors: Doors | None = None) -> None:
        """Keep the state of attempts in directories under `root`. Without `doors`, programs have no gateway."""
        self._root = root
        self._engine = DockerEngine()
        self._patience = Patience()
        self._reach = Reach(self._engine, root, doors)
        self._index = LogIndex()
        self._secret = specs.Secret()
        self._lives: dict[str, Life | ContainerGroup] = {}
        self._lock = threading.Lock()
        self._stops = Stops(self._engine)
        self._surrounding = Surrounding(self._engine, self._reach, self._index, self._secret, self._stops)
        self._changed: SimpleQueue[str | None] = SimpleQueue()
        self._is_swept = False

    def inside(self, name: str) -> Inside:
        """Return the mounted paths. The gateway listens on the address of the containers' network."""
        return self._patience.ask("reach", lambda: self._reach.inside)

    def start(self, spec: AttemptSpec) -> str:
        """Accept the attempt and return. A thread then pulls its image and makes its container."""
        directory = self._root / spec.name
        self._ping()
        with attempt_files.used(directory):
            if not (directory / specs.FILE).exists():
                descriptors.admit(self._live_count(), DESCRIPTORS * len(spec.processes))
                directory.mkdir(parents=True, exist_ok=True)
                (specs.write_spec if len(spec.processes) == 1 else members.write_specs)(directory, spec)
            if read_exit(directory) is None:
                for part in members.parts(spec):
                    self._secret.keep(part)
        self._life(directory)
        return str(directory)

    def poll(self, handle: str) -> AttemptExit | None:
        """Read the recorded exit; without one, see whether the engine answers."""
        directory = self._directory(handle)
        with attempt_files.used(directory):
            ended = read_exit(directory)
            if ended is not None:
                return ended
            if not (directory / specs.FILE).exists():
                return AttemptExit(None, LOST)
            life = self._life(directory)
            self._ping()
            if life.trouble is not None and not life.over.is_set():
                raise life.trouble
            return read_exit(directory)

    def stop(self, handle: str, grace: float) -> None:
        """Send the image's stop signal, wait, then KILL, which ends everything in the container. One thread serves all stops."""
        directory = self._directory(handle)
        with attempt_files.used(directory):
            if read_exit(directory) is not None:
                return
            if (directory / specs.FILE).exists():
                life = self._life(directory)
                attempt_files.mark(directory / "stopped")
                life.stop(grace) if isinstance(life, ContainerGroup) else self._stops.ask(life, grace)
                self._ping()
            else:  # no thread handles its container, if there is one
                container = container_of(self._reach, directory)
                self._patience.ask(f"remove-{container}", lambda: self._engine.remove(container))

    def address(self, handle: str) -> tuple[str, int]:
        """Ask the engine: the container's own address where this machine reaches it, else a published port."""
        directory = self._directory(handle)
        try:
            port = specs.read_spec(directory).processes[0].port
            container = self._life(directory).container
            found = self._patience.ask(f"look-{container}", lambda: self._engine.container(container))
        except (Gone, OSError, specs.Unreadable) as error:
            raise ExecutorUnavailable(f"{directory.name} has no container yet") from error
        if self._reach.around.reaches_network and found.runs and found.address:
            return found.address, port
        if port in found.ports and found.runs and _listens(self._engine.host, found.ports[port][1]):
            return self._engine.host, found.ports[port][1]
        raise ExecutorUnavailable(f"{directory.name} does not listen yet")

    def note(self, handle: str) -> Note:
        """Read why the program does not run yet, and where its workspace is if not at its own path."""
        directory = self._directory(handle)
        doing, remarks = (tuple(members.texts(directory, name)) for name in (NOTE, making.REMARKS))
        return Note(doing="; ".join(doing)[:NOTE_LENGTH], remarks=tuple(dict.fromkeys(remarks)), waits=bool(doing))

    def remove(self, handle: str) -> None:
        """Delete the directory of an ended attempt. Its container is already gone."""
        directory = self._directory(handle)
        if read_exit(directory) is not None:
            shutil.rmtree(directory, ignore_errors=True)

    def changed(self) -> tuple[str, ...]:
        """Wait until the end of an attempt is recorded."""
        handle = self._changed.get()
        return () if handle is None else (handle,)

    def wake(self) -> None:
        """Let one `changed` return."""
        self._changed.put(None)

    def close(self) -> None:
        """End `changed` and let go of the attempts, which keep running."""
        self._stops.close()
        with self._lock:
            lives = list(self._lives.values())
        for life in lives:
            life.let_go()
        until = time.monotonic() + JOIN_SECONDS
        for life in lives:
            life.join(max(0.0, until - time.monotonic()))
        self._engine.close()
        self._index.close()
        self._changed.put(None)

    def _life(self, directory: Path) -> Life | ContainerGroup:
        """Return the life of an accepted attempt; start one if it has none."""
        name = directory.name
        with self._lock:
            try:
                if not self._is_swept:
                    self._stops.start()  # first, while there is room for its thread
                    threading.Thread(target=self._sweep, name="docker-sweep", daemon=True).start()
                    self._is_swept = True
                if name not in self._lives:
                    self._lives[name] = self._new_life(directory)
            except RuntimeError as error:  # too many threads
                raise ExecutorUnavailable(f"attempt {name} cannot be followed: {error}.") from error
            return self._lives[name]

    def _new_life(self, directory: Path) -> Life | ContainerGroup:
        if members.of(directory):
            return ContainerGroup(directory, self._surrounding, lambda: self._over(directory))
        steps = Steps(directory, self._engine, self._reach, OwnFiles(directory, self._index), self._secret)
        return Life(directory, self._engine, steps, lambda: self._over(directory))

    def _live_count(self) -> int:
        with self._lock:
            return sum(life.count for life in self._lives.values() if not life.over.is_set())

    def _ping(self) -> None:
        self._patience.ask("ping", self._engine.ping)

    def _over(self, directory: Path) -> None:
        self._changed.put(str(directory))
        with self._lock:
            ended = [name for name, life in self._lives.items() if life.is_done]
            for name in ended:
                del self._lives[name]

    def _sweep(self) -> None:
        """Delete containers of ended or missing attempts, left by an owner that was killed."""
        with suppress(ExecutorUnavailable, OSError):  # the next owner tries again
            for labels in self._engine.labelled(f"{describe.OWNER}={self._reach.owner}"):
                if describe.ATTEMPT not in labels:
                    continue  # a test container
                directory = self._root / str(labels[describe.ATTEMPT])
                if read_exit(directory) is not None or not (directory / specs.FILE).exists():
                    self._engine.remove(str(labels["name"]))
            for labels in self._engine.labelled_volumes(f"{describe.OWNER}={self._reach.owner}"):
                directory = self._root / str(labels[describe.ATTEMPT])
                if read_exit(directory) is not None or not (directory / specs.FILE).exists():
                    self._engine.remove_volume(str(labels["name"]))


def _listens(host: str, port: int) -> bool:
    """Tell whether a program listens behind a published port. If none does, the engine's proxy accepts and then hangs up."""
    try:
        with socket.create_connection((host, port), 1.0) as connection:
            connection.settimeout(PROXY_SECONDS)
            return connection.recv(1) != b""
    except TimeoutError:
        return True
    except OSError:
        return False

"""The Kubernetes executor: an attempt is a Job, and its state is in a directory. See `attempt`."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

from fabric_jobs.errors import ExecutorUnavailable
from fabric_jobs.executors import attempt_files
from fabric_jobs.executors.attempt_files import shipped, specs, texts
from fabric_jobs.executors.attempt_files.exits import read_exit
from fabric_jobs.executors.attempt_files.kept import Kept
from fabric_jobs.executors.base import LOST, AttemptExit, AttemptSpec, Doors, Inside, Note
from fabric_jobs.executors.kubernetes.controller import Controller
from fabric_jobs.executors.kubernetes.pools import Pools
from fabric_jobs.kubernetes.loop import CallLoop

PATIENCE_SECONDS = 5.0  # for an answer of the cluster; the calling thread serves all attempts of this place
FRESH_SECONDS = 1.0  # an answer that old is enough to accept an attempt
NOTE_LENGTH = 200

T = TypeVar("T")


class KubernetesExecutor(Kept):
    """Runs attempts as Jobs. `fabric_jobs.executors.base.Executor` has the contract of each method."""

    name = "kubernetes"

    def __init__(self, root: Path, doors: Doors | None = None) -> None:
        """Keep the state of attempts in directories under `root`. Without `doors`, programs have no gateway."""
        self._root = root
        self._loop = CallLoop("kubernetes")
        self._changed: SimpleQueue[str | None] = SimpleQueue()
        self._controller = Controller(root, doors, lambda directory: self._changed.put(str(directory)))

    def inside(self, name: str) -> Inside:
        """Return the paths in a pod. The gateway listens on an address that pods reach."""
        return self._loop.ask(self._controller.inside, PATIENCE_SECONDS)

    def start(self, spec: AttemptSpec) -> str:
        """Accept the attempt and return. Its Job is then made in the loop's thread."""
        directory = self._root / spec.name
        self._loop.ask(lambda: self._controller.ping(FRESH_SECONDS), PATIENCE_SECONDS)
        with attempt_files.used(directory):
            if not (directory / specs.FILE).exists():
                directory.mkdir(parents=True, exist_ok=True)
                specs.write_spec(directory, spec, hides_files=True)
            if read_exit(directory) is None:
                self._controller.secret.keep(spec)
        self._take(directory)
        return str(directory)

    def poll(self, handle: str) -> AttemptExit | None:
        """Read the recorded exit; without one, see whether the cluster answers."""
        directory = self._directory(handle)
        with attempt_files.used(directory):
            ended = read_exit(directory)
            if ended is not None:
                return ended
            if not (directory / specs.FILE).exists():
                return AttemptExit(None, LOST)
            self._take(directory)
            trouble = self._controller.trouble(directory)
            if trouble is not None:  # nobody waits for a cluster that is known not to answer
                raise trouble
            self._loop.ask(self._controller.ping, PATIENCE_SECONDS)
            return read_exit(directory)

    def stop(self, handle: str, grace: float) -> None:
        """Delete its pod: TERM, then KILL, which ends everything in it."""
        directory = self._directory(handle)
        with attempt_files.used(directory):
            if read_exit(directory) is not None:
                return
            if (directory / specs.FILE).exists():
                attempt_files.mark(directory / shipped.STOP)
            self._loop.ask(self._controller.ping, PATIENCE_SECONDS)
            self._loop.post(lambda: self._controller.stop(directory, grace))

    def address(self, handle: str) -> tuple[str, int]:
        """Ask the cluster."""
        directory = self._directory(handle)
        try:
            port = specs.read_spec(directory).processes[0].port
        except (OSError, specs.Unreadable) as error:
            raise ExecutorUnavailable(f"{directory.name} has no pod yet") from error
        host, own = self._controller.address(directory)
        if not host:
            raise ExecutorUnavailable(f"{directory.name} does not listen yet")
        return host, own or port

    def note(self, handle: str) -> Note:
        """Read why the program does not run yet, and remarks."""
        directory = self._directory(handle)
        doing = texts.text(directory / texts.NOTE).strip()
        remarks = texts.text(directory / "remarks").splitlines()
        return Note(doing=doing[:NOTE_LENGTH], remarks=tuple(dict.fromkeys(remarks)), waits=bool(doing))

    def remove(self, handle: str) -> None:
        """Delete the directory of an ended attempt. Its Job is deleted already, or will be by the next sweep."""
        directory = self._directory(handle)
        if read_exit(directory) is not None:
            shutil.rmtree(directory, ignore_errors=True)

    def changed(self) -> tuple[str, ...]:
        """Wait until the end of an attempt is recorded, or its state is unknown."""
        handle = self._changed.get()
        return () if handle is None else (handle,)

    def wake(self) -> None:
        """Let one `changed` return."""
        self._changed.put(None)

    def hidden_file(self, attempt: str, name: str) -> bytes | None:
        """Return a file of an attempt that holds secrets; None once its end is recorded, or in another process."""
        return self._controller.secret.file(attempt, name)

    def ask_pools(self, question: Callable[[Pools], Coroutine[Any, Any, T]]) -> Future[T]:
        """Let the pools of warm pods answer what one of these says, in the loop's thread."""

        async def answer() -> T:
            return await question(self._controller.pools())

        return self._loop.begin(answer)

    def close(self) -> None:
        """End `changed` and let go of the attempts, which keep running."""
        self._loop.close(self._controller.close)
        self._changed.put(None)

    def _take(self, directory: Path) -> None:
        self._loop.post(lambda: self._controller.take(directory))

"""Drives real containers: they run the local driver's shell, which takes orders from named pipes."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fabric_jobs.docker.engine import DockerEngine
from fabric_jobs.executors.base import STREAMS, AttemptExit, AttemptSpec, Doors, ProcessSpec
from fabric_jobs.executors.docker import DockerExecutor, patience
from tests.docker_place import BASE_IMAGE, docker
from tests.executors.contract import SECONDS, Driver, Running, ended
from tests.executors.drivers import LocalDriver


def be_patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for an engine that is busy with other tests. A lane would ask again; these tests talk to the executor itself."""
    monkeypatch.setattr(patience, "PATIENCE_SECONDS", SECONDS)


class DockerDriver(Driver):
    """Attempts of the Docker executor, whose workspace is the directory of the pipes."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch, doors: Doors | None = None) -> None:
        be_patient(monkeypatch)
        self._pipes = LocalDriver(directory)
        self.root = directory / "attempts"
        self._monkeypatch = monkeypatch
        self._doors = doors
        self._made: list[DockerExecutor] = []
        self.executor: DockerExecutor = self.anew()

    def spec(self, name: str) -> AttemptSpec:
        spec = self._pipes.spec(name)
        process = spec.processes[0]
        return replace(spec, processes=(replace(process, image=BASE_IMAGE, workspace=str(process.directory)),))

    def order(self, running: Running, text: str, *, wait: bool = True) -> None:
        """Let the program run a shell command."""
        self._pipes.order(running, text, wait=wait)

    def say(self, running: Running, *, stdout: bytes = b"", stderr: bytes = b"") -> None:
        before = {name: self._size(running, name) for name in ("stdout", "stderr")}
        self._pipes.say(running, stdout=stdout, stderr=stderr)
        deadline = time.monotonic() + SECONDS
        for name, text in (("stdout", stdout), ("stderr", stderr)):  # until the engine has passed it on
            while self._size(running, name) < before[name] + len(text):
                assert time.monotonic() < deadline, f"{text!r} never came on {name}"
                time.sleep(0.005)

    def end(self, running: Running, code: int) -> None:
        self._pipes.end(running, code)

    def vanish(self, running: Running) -> None:
        self.order(running, ":")
        docker("rm", "--force", self.container(running))

    def deafen(self, running: Running) -> None:
        self._pipes.deafen(running)

    def starts(self, running: Running) -> int:
        return self._pipes.starts(running)

    def anew(self) -> DockerExecutor:
        self._made.append(DockerExecutor(self.root, self._doors))
        return self._made[-1]

    def again(self) -> DockerExecutor:
        """Replace the executor, as if its process had ended and another one had started."""
        self.executor.close()
        self.executor = self.anew()
        return self.executor

    def place(self, name: str) -> Path:
        """Return the directory of an attempt's pipes."""
        return self._pipes.place(name)

    def run(self, spec: AttemptSpec) -> tuple[AttemptExit, bytes, bytes]:
        """Run an attempt to its end; return its exit and its output."""
        handle = self.executor.start(spec)
        return (ended(self.executor, handle), *self.output(handle))

    def output(self, handle: str) -> tuple[bytes, bytes]:
        """Return an attempt's output so far."""
        stdout, stderr = (self.executor.logs(handle, stream, 0, 1 << 24) for stream in STREAMS)
        return stdout, stderr

    def unreachable(self) -> None:
        self._monkeypatch.setattr(DockerEngine, "ping", DockerEngine(url="tcp://127.0.0.1:1").ping)

    def container(self, running: Running) -> str:
        """Return the name of the container of an attempt."""
        return "".join(self.containers(f"fabric-jobs.attempt={running.spec.name}"))

    def containers(self, label: str = "fabric-jobs.owner") -> list[str]:
        """Return the ids of this test's containers that have a label."""
        ours = f"fabric-jobs.owner={self.executor._reach.owner}"
        engine = DockerEngine()
        found = engine.api.containers(all=True, filters={"label": [ours, label]})
        engine.close()
        return [each["Id"] for each in found]

    def volumes(self) -> list[str]:
        """Return the names of this test's volumes."""
        label = f"label=fabric-jobs.owner={self.executor._reach.owner}"
        return docker("volume", "ls", "--quiet", "--filter", label).stdout.split()

    def inspect(self, running: Running) -> dict[str, Any]:
        """Return the engine's description of an attempt's container."""
        found: list[dict[str, Any]] = json.loads(docker("inspect", self.container(running)).stdout)
        return found[0]

    def close(self) -> None:
        """Close the executors, and remove all containers."""
        self._monkeypatch.undo()
        for executor in self._made:
            executor.close()
        left = self.containers()
        if left:
            docker("rm", "--force", *left, check=False)  # some may disappear by themselves
        volumes = self.volumes()
        if volumes:
            docker("volume", "rm", "--force", *volumes, check=False)
        self._pipes.executor.close()

    def _size(self, running: Running, stream: str) -> int:
        path = Path(running.handle) / stream
        return os.stat(path).st_size if path.exists() else 0


@pytest.fixture(name="driver")
def docker_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DockerDriver]:
    """Yield the driver of a test."""
    made = DockerDriver(tmp_path, monkeypatch)
    yield made
    made.close()


def spec_of(*command: str, name: str = "attempt-1", **changes: Any) -> AttemptSpec:
    """Return the spec of an attempt that runs a program in the base image."""
    files = changes.pop("files", {})
    process = ProcessSpec(**{"directory": None, "command": command, "image": BASE_IMAGE, **changes})
    return AttemptSpec(name=name, processes=(process,), files=files)

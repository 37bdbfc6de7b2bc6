"""The executor in memory keeps the contract, so the engine's tests may rely on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fabric_jobs.executors.base import AttemptSpec, ProcessSpec
from tests.executors.contract import Contract, Driver, Running
from tests.executors.fake import FakeExecutor


class FakeDriver(Driver):
    """Drives the fake."""

    def __init__(self) -> None:
        self.executor: FakeExecutor = FakeExecutor()
        self.said: dict[str, tuple[bytes, bytes]] = {}

    def spec(self, name: str) -> AttemptSpec:
        return AttemptSpec(name=name, processes=(ProcessSpec(directory=Path()),))

    def say(self, running: Running, *, stdout: bytes = b"", stderr: bytes = b"") -> None:
        for stream, text in (("stdout", stdout), ("stderr", stderr)):
            key = (running.handle, stream)
            self.executor.output[key] = self.executor.output.get(key, b"") + text

    def end(self, running: Running, code: int) -> None:
        output = self.executor.output
        stdout, stderr = (output.get((running.handle, stream), b"") for stream in ("stdout", "stderr"))
        self.executor.finish(running.handle, code, stdout=stdout, stderr=stderr)

    def vanish(self, running: Running) -> None:
        self.executor.lose(running.handle)

    def deafen(self, running: Running) -> None:
        self.executor.deaf.add(running.handle)

    def starts(self, running: Running) -> int:
        return list(self.executor.specs).count(running.spec.name)

    def anew(self) -> FakeExecutor:
        return self.executor

    def unreachable(self) -> None:
        self.executor.unreachable = True


class TestFake(Contract):
    @pytest.fixture
    def driver(self, tmp_path: Path) -> Iterator[Driver]:
        made = FakeDriver()
        yield made
        made.executor.close()

"""Starts of a daemon that go wrong half-way: the next call starts it anew."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from fabric_jobs.definitions import Action
from fabric_jobs.engine.calls.daemons import Daemon, DaemonFailed, DaemonKey, Means
from fabric_jobs.errors import ExecutorUnavailable
from fabric_jobs.executors.base import AttemptSpec, ProcessSpec
from fabric_jobs.settings import Settings
from fabric_jobs.store import Store, tasks
from tests.executors.fake import FakeExecutor


class Dying(FakeExecutor):
    """Its programs end at once, and the first question for their output is not answered."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def start(self, spec: AttemptSpec) -> str:
        handle = super().start(spec)
        self.finish(handle, 1, stderr=b"no model here\n")
        return handle

    def address(self, handle: str) -> tuple[str, int]:
        return "127.0.0.1", 1

    def logs(self, handle: str, stream: str, offset: int, limit: int) -> bytes:
        self.asked += 1
        if self.asked == 1:
            raise ExecutorUnavailable("it does not answer.")
        return super().logs(handle, stream, offset, limit)


def test_a_start_that_was_interrupted_is_begun_again(tmp_path: Path) -> None:
    store, executor = Store(tmp_path / "state.db"), Dying()
    key = DaemonKey(executor="fake", project_id="local", skill_name="each", version=1, action="each")
    means = Means(store=store, executors={"fake": executor}, settings=Settings(state_dir=tmp_path))

    async def starts() -> DaemonFailed:
        daemon = Daemon(key, Action(name="each", type="daemon"), ProcessSpec(directory=None), means)
        with pytest.raises(ExecutorUnavailable):
            await daemon.pool(5000)
        with pytest.raises(DaemonFailed) as failed:
            await daemon.pool(5000)
        return failed.value

    failed = asyncio.run(starts())
    assert "before it listened" in failed.cause
    assert failed.printed.lines == ("no model here",)
    (first, *_) = sorted(executor.specs)
    attempt = tasks.attempt(store.read, 1, 1)
    assert attempt is not None
    assert (first[-2:], attempt.reason) == ("-1", "lost")
    store.close()

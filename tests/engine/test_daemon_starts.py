"""The tasks of daemons: what is decided, and starts that go wrong half-way."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from fabric_jobs.definitions import Action
from fabric_jobs.durations import spelled
from fabric_jobs.engine.calls.daemons import Daemon, DaemonFailed
from fabric_jobs.engine.decide import FinishTask, LaunchAttempt, LookAgain, StartTask, StopAttempt
from fabric_jobs.engine.decide_daemon import DEATHS, CreateDaemon, DaemonSnapshot, daemon_outcome, decide_daemon
from fabric_jobs.engine.wants import DaemonKey, Launched, Want
from fabric_jobs.errors import ExecutorUnavailable
from fabric_jobs.executors.base import REFUSED, STOPPED, AttemptExit, AttemptSpec, Note, ProcessSpec
from fabric_jobs.records import Task
from fabric_jobs.states import TaskState
from fabric_jobs.store import tasks
from fabric_jobs.store.tasks import NewTask
from tests.engine.bench import Bench
from tests.executors.fake import FakeExecutor

KEY = DaemonKey(executor="dying", project_id="local", skill_name="each", version=1, action="each")
ENDED = AttemptExit(1)
BRIEF_SECONDS = 0.1


@pytest.fixture
def task(bench: Bench) -> Task:
    """A daemon's task, QUEUED."""
    new = NewTask(
        project_id="local",
        name="local-each",
        activation_id=None,
        node=KEY.node,
        skill_name="each",
        action_name="each",
        kind="daemon",
        receives="message",
    )
    found = tasks.find(bench.store.read, bench.store.write(lambda tx: tasks.create(tx, new)).result())
    assert found is not None
    return found


def test_a_program_is_started_for_whoever_waits_for_it(task: Task) -> None:
    assert decide_daemon(DaemonSnapshot(task=None)) == []
    assert decide_daemon(DaemonSnapshot(task=None, is_awaited=True)) == [CreateDaemon()]
    assert decide_daemon(DaemonSnapshot(task=None, is_awaited=True, end_cause="the owner ends")) == []
    assert decide_daemon(DaemonSnapshot(task=task, idle_at=5.0)) == [LookAgain(at=5.0)]
    assert decide_daemon(DaemonSnapshot(task=task, is_awaited=True)) == [StartTask(task=task)]


def test_whatever_runs_is_followed_until_it_ends_or_is_to_end(task: Task) -> None:
    live = replace(task, state=TaskState.ACTIVE, attempt=1)
    assert decide_daemon(DaemonSnapshot(task=live, idle_at=5.0)) == [LookAgain(at=5.0), LaunchAttempt(task=live)]
    assert decide_daemon(DaemonSnapshot(task=live, idle_at=5.0, is_followed=True)) == [LookAgain(at=5.0)]
    assert decide_daemon(DaemonSnapshot(task=live, end_cause="idle")) == [StopAttempt(task=live)]
    cancelled = replace(live, cancel_requested=True)
    assert decide_daemon(DaemonSnapshot(task=cancelled, is_awaited=True)) == [StopAttempt(task=cancelled)]
    assert decide_daemon(DaemonSnapshot(task=live, exit=ENDED)) == [FinishTask(task=live, exit=ENDED)]


def test_what_is_to_end_before_it_ran_ends_at_once(task: Task) -> None:
    (decision,) = decide_daemon(DaemonSnapshot(task=task, end_cause="idle"))
    assert decision == FinishTask(task=task, exit=AttemptExit(None, STOPPED))


def test_the_end_of_a_program_has_its_reason(task: Task) -> None:
    live = DaemonSnapshot(task=replace(task, state=TaskState.ACTIVE, attempt=1), port=81)
    assert daemon_outcome(replace(live, end_cause="nobody called"), ENDED).state is TaskState.COMPLETE
    silent = daemon_outcome(replace(live, end_cause="it does not listen", is_silent=True), ENDED)
    assert (silent.state, silent.cause) == (TaskState.FAILED, "it does not listen")
    refused = daemon_outcome(live, AttemptExit(None, REFUSED, "there is no program"))
    assert (refused.state, refused.cause) == (TaskState.FAILED, "there is no program")
    assert daemon_outcome(live, ENDED).state is TaskState.QUEUED
    assert daemon_outcome(replace(live, was_ready=True, deaths=DEATHS), ENDED).state is TaskState.QUEUED
    given_up = daemon_outcome(replace(live, deaths=DEATHS - 1), ENDED)
    assert (given_up.state, "before it listened on port 81" in given_up.cause) == (TaskState.FAILED, True)


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


def test_a_program_that_dies_is_started_some_times_and_then_its_callers_are_told(tmp_path: Path) -> None:
    executor = Dying()
    bench = Bench(tmp_path, others={"dying": executor})
    wants = bench.engine._calls.daemons().wants

    async def starts() -> DaemonFailed:
        want = Want(KEY, Action(name="each", type="daemon"), ProcessSpec(directory=None), 0)
        daemon = Daemon(want, wants, executor, 20.0)
        wants.put(want)
        with pytest.raises(DaemonFailed) as failed:
            await daemon.pool(5000)
        with pytest.raises(DaemonFailed) as again:  # remembered for a while
            await daemon.pool(5000)
        assert again.value.cause == failed.value.cause
        return failed.value

    failed = asyncio.run(starts())
    assert "before it listened on port 1 " in failed.cause
    assert failed.printed.lines == ("no model here",)
    assert [name[-2:] for name in executor.specs] == ["-1", "-2", "-3"]
    attempt = tasks.attempt(bench.store.read, 1, 3)
    assert attempt is not None
    assert attempt.exit_code == 1
    bench.close()


class Brief(Daemon):
    """Has time to start, and little time to listen."""

    async def _running(self) -> Launched:
        running = await super()._running()
        self._start_seconds = BRIEF_SECONDS
        return running


class Unreachable(FakeExecutor):
    """Its programs run, and have no address yet; or one at which nothing listens."""

    def __init__(self, where: tuple[str, int] | None) -> None:
        super().__init__()
        self.where = where

    def start(self, spec: AttemptSpec) -> str:
        handle = super().start(spec)
        self.notes[handle] = Note(doing="waiting for a node: 0/1 nodes are available", waits=True)
        return handle

    def address(self, handle: str) -> tuple[str, int]:
        if self.where is None:
            raise ExecutorUnavailable("it does not listen yet")
        return self.where


@pytest.mark.parametrize(
    ("where", "cause"),
    [
        (None, "it does not listen yet"),
        (
            ("127.0.0.1", 1),  # as that of a tunnel
            f"the daemon did not listen on port 5000 (PORT) of all addresses (0.0.0.0) within {spelled(BRIEF_SECONDS)}",
        ),
    ],
)
def test_callers_hear_what_a_program_waits_for(tmp_path: Path, where: tuple[str, int] | None, cause: str) -> None:
    executor = Unreachable(where)
    bench = Bench(tmp_path, others={"dying": executor})
    wants = bench.engine._calls.daemons().wants

    async def starts() -> str:
        want = Want(KEY, Action(name="each", type="daemon"), ProcessSpec(directory=None), 0)
        wants.put(want)
        with pytest.raises(DaemonFailed) as failed:
            await Brief(want, wants, executor, 20.0).pool(5000)
        return failed.value.cause

    assert asyncio.run(starts()) == f"{cause}: waiting for a node: 0/1 nodes are available"
    bench.close()

"""The contract of every executor: the nine sentences of `fabric_jobs.executors.base`.

A driver per executor makes its attempts print, end, hang and vanish; `Contract` checks what must follow.
"""

from __future__ import annotations

import ast
import inspect
import threading
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from fabric_jobs.errors import ExecutorUnavailable
from fabric_jobs.executors.base import (
    LOST,
    STOPPED,
    STREAMS,
    AttemptExit,
    AttemptSpec,
    Executor,
    LogPart,
    LogQuery,
    Note,
)
from tests.acceptance.live import until

SECONDS = 30.0


@dataclass
class Running:
    """A started attempt, and its spec."""

    spec: AttemptSpec
    handle: str


class Driver(ABC):
    """Makes attempts of one executor do what a test needs."""

    executor: Executor

    @abstractmethod
    def spec(self, name: str) -> AttemptSpec:
        """Return an attempt that runs until it is told what to do."""

    @abstractmethod
    def say(self, running: Running, *, stdout: bytes = b"", stderr: bytes = b"") -> None:
        """Make the attempt print, and wait until it has."""

    @abstractmethod
    def end(self, running: Running, code: int) -> None:
        """Make the attempt end with an exit code. Return at once."""

    @abstractmethod
    def vanish(self, running: Running) -> None:
        """Kill the attempt in such a way that its exit code is unknown."""

    @abstractmethod
    def deafen(self, running: Running) -> None:
        """Make the attempt ignore requests to end."""

    @abstractmethod
    def starts(self, running: Running) -> int:
        """Return how many times the program of the attempt was started."""

    @abstractmethod
    def anew(self) -> Executor:
        """Return a new executor, as another process would make it."""

    @abstractmethod
    def unreachable(self) -> None:
        """Make the place stop answering."""


class Contract:
    """Tests of the nine sentences. A subclass provides `driver`."""

    @pytest.fixture
    def driver(self, tmp_path: Path) -> Iterator[Driver]:
        raise NotImplementedError

    @pytest.fixture
    def executor(self, driver: Driver) -> Executor:
        return driver.executor

    @pytest.fixture
    def running(self, driver: Driver) -> Running:
        spec = driver.spec(f"attempt-{uuid.uuid4().hex[:8]}-1")
        return Running(spec, driver.executor.start(spec))

    # 1. Two calls of `start` with one name make one attempt.

    def test_starting_twice_is_one_attempt(self, driver: Driver, running: Running) -> None:
        assert driver.executor.start(running.spec) == running.handle
        driver.say(running, stdout=b"once\n")
        driver.end(running, 0)
        assert ended(driver.executor, running.handle) == AttemptExit(0)
        assert driver.executor.start(running.spec) == running.handle
        assert driver.executor.poll(running.handle) == AttemptExit(0)
        assert driver.executor.logs(running.handle, "stdout", 0, 100) == b"once\n"
        assert driver.starts(running) == 1

    def test_another_process_that_starts_it_gets_the_same_attempt(self, driver: Driver, running: Running) -> None:
        other = driver.anew()
        assert other.start(running.spec) == running.handle
        driver.end(running, 4)
        assert ended(other, running.handle) == AttemptExit(4)
        assert driver.starts(running) == 1
        other.close()

    def test_two_names_are_two_attempts(self, driver: Driver, running: Running) -> None:
        spec = driver.spec("another-1")
        other = Running(spec, driver.executor.start(spec))
        assert other.handle != running.handle
        driver.end(running, 1)
        assert ended(driver.executor, running.handle) == AttemptExit(1)
        assert driver.executor.poll(other.handle) is None

    # 2. `start` returns once the attempt is accepted.

    def test_start_returns_while_the_program_runs(self, driver: Driver, running: Running) -> None:
        assert driver.executor.poll(running.handle) is None

    # 3. The handle is a string. A new process needs nothing else.

    def test_a_new_process_needs_the_handle_only(self, driver: Driver, running: Running) -> None:
        assert type(running.handle) is str
        driver.say(running, stdout=b"before\n")
        driver.executor.close()
        other = driver.anew()
        assert other.poll(running.handle) is None
        driver.say(running, stdout=b"after\n")
        driver.end(running, 3)
        assert ended(other, running.handle) == AttemptExit(3)
        assert other.logs(running.handle, "stdout", 0, 100) == b"before\nafter\n"
        other.close()

    # 4. `poll` changes nothing.

    def test_polling_changes_nothing(self, driver: Driver, running: Running) -> None:
        for _ in range(3):
            assert driver.executor.poll(running.handle) is None
        driver.end(running, 7)
        assert ended(driver.executor, running.handle) == AttemptExit(7)
        for _ in range(3):
            assert driver.executor.poll(running.handle) == AttemptExit(7)

    # 5. An attempt that ended with an unknown exit code is `AttemptExit(None, "lost")`.

    def test_what_vanished_is_lost(self, driver: Driver, running: Running) -> None:
        driver.vanish(running)
        assert ended(driver.executor, running.handle) == AttemptExit(None, LOST)
        assert driver.anew().poll(running.handle) == AttemptExit(None, LOST)

    def test_what_was_never_there_is_lost(self, driver: Driver) -> None:
        assert driver.executor.poll(driver.spec("never").name) == AttemptExit(None, LOST)

    # 6. An unknown state raises `ExecutorUnavailable`.

    def test_what_cannot_be_told_is_not_guessed(self, driver: Driver, running: Running) -> None:
        driver.unreachable()
        with pytest.raises(ExecutorUnavailable):
            driver.executor.poll(running.handle)
        with pytest.raises(ExecutorUnavailable):
            driver.executor.start(running.spec)

    # 7. `stop` asks and returns at once. The executor kills what has not ended after the grace period.

    def test_stop_asks(self, driver: Driver, running: Running) -> None:
        driver.say(running, stdout=b"runs\n")
        driver.executor.stop(running.handle, SECONDS)
        assert ended(driver.executor, running.handle) == AttemptExit(143, STOPPED)

    def test_stop_returns_at_once(self, driver: Driver, running: Running) -> None:
        driver.deafen(running)
        driver.executor.stop(running.handle, SECONDS)
        assert driver.executor.poll(running.handle) is None

    @pytest.mark.parametrize("grace", [0.0, 0.1])
    def test_stop_forces_after_the_grace(self, driver: Driver, running: Running, grace: float) -> None:
        driver.deafen(running)
        driver.executor.stop(running.handle, grace)
        assert ended(driver.executor, running.handle).reason == STOPPED

    def test_a_second_stop_shortens_the_grace(self, driver: Driver, running: Running) -> None:
        driver.deafen(running)
        for grace in (1000.0, 0.1, 1000.0):
            driver.executor.stop(running.handle, grace)
        assert ended(driver.executor, running.handle).reason == STOPPED

    def test_stop_twice_is_harmless_and_so_is_stopping_what_ended(self, driver: Driver, running: Running) -> None:
        driver.end(running, 5)
        assert ended(driver.executor, running.handle) == AttemptExit(5)
        for _ in range(2):
            driver.executor.stop(running.handle, SECONDS)
            assert driver.executor.poll(running.handle) == AttemptExit(5)

    # 8. `logs` and `page` work from the first byte, during the attempt and after it, until `remove`.

    def test_logs_during_and_after_from_any_byte(self, driver: Driver, running: Running) -> None:
        executor, handle = driver.executor, running.handle
        assert executor.logs(handle, "stdout", 0, 100) == b""
        driver.say(running, stdout="häl\n".encode(), stderr=b"err\n")
        assert executor.logs(handle, "stdout", 0, 100) == "häl\n".encode()
        assert executor.logs(handle, "stderr", 0, 100) == b"err\n"
        driver.say(running, stdout=b"more")
        driver.end(running, 1)
        assert ended(executor, handle) == AttemptExit(1)
        whole = "häl\nmore".encode()
        for offset in range(len(whole) + 2):
            assert executor.logs(handle, "stdout", offset, 100) == whole[offset:]
            assert executor.logs(handle, "stdout", offset, 2) == whole[offset : offset + 2]
        assert executor.size(handle, "stdout") == len(whole)
        assert executor.logs(handle, "stdout", -4, 100) == b"more"
        assert executor.logs(handle, "stdout", -100, 100) == whole

    def test_both_streams_merged_hold_every_byte(self, driver: Driver, running: Running) -> None:
        driver.say(running, stdout=b"one\n", stderr=b"two\n")
        driver.end(running, 0)
        assert ended(driver.executor, running.handle) == AttemptExit(0)
        merged = driver.executor.merged(running.handle, 100)
        assert sorted(merged.splitlines()) == [b"one", b"two"]

    def test_pages_go_on_where_they_ended_and_hold_every_byte_once(self, driver: Driver, running: Running) -> None:
        executor, handle = driver.executor, running.handle
        query = LogQuery(limit=5)
        found: list[LogPart] = []
        for text in (b"one\n", b"two\nthree\n", "fünf, a longer line\n".encode()):
            driver.say(running, stdout=text, stderr=text.upper())
            more = True
            while more:
                page = executor.page(handle, query)
                found += page.parts
                query, more = replace(query, cursor=page.cursor), page.more
        driver.say(running, stdout=b"no end")
        driver.end(running, 0)
        assert ended(executor, handle) == AttemptExit(0)
        found += executor.page(handle, replace(query, limit=100)).parts
        for stream in STREAMS:
            whole = executor.logs(handle, stream, 0, 1000)
            assert b"".join(part.bytes for part in found if part.stream == stream) == whole
        again = executor.page(handle, LogQuery(streams=("stderr",)))
        assert {part.stream for part in again.parts} == {"stderr"}
        assert not again.more

    def test_remove_takes_the_logs_with_it_and_is_harmless_twice(self, driver: Driver, running: Running) -> None:
        driver.say(running, stdout=b"gone\n")
        driver.end(running, 0)
        ended(driver.executor, running.handle)
        for _ in range(2):
            driver.executor.remove(running.handle)
            assert driver.executor.logs(running.handle, "stdout", 0, 100) == b""

    # `note` can be called at any time.

    def test_a_note_can_be_asked_for_whatever_became_of_the_attempt(self, driver: Driver, running: Running) -> None:
        driver.say(running, stdout=b"runs\n")
        until(lambda: driver.executor.note(running.handle) == Note(), "nothing is said of what runs")
        driver.end(running, 0)
        ended(driver.executor, running.handle)
        assert driver.executor.note(running.handle) == Note()
        driver.executor.remove(running.handle)
        assert driver.executor.note(running.handle) == Note()
        assert driver.executor.note(driver.spec("never").name) == Note()

    # 9. An executor knows neither the store nor the engine, and has no callbacks.

    def test_it_knows_neither_store_nor_engine(self, driver: Driver) -> None:
        tree = ast.parse(Path(inspect.getfile(type(driver.executor))).read_text())
        found = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        names = [f"{node.module}.{alias.name}" for node in found for alias in node.names]
        names += [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
        ours = {name for name in names if name.startswith("fabric_jobs")}
        assert not [
            name
            for name in ours
            if name.split(".")[1] not in ("errors", "executors", "docker", "kubernetes", "state_dir")
        ]

    def test_whoever_waits_is_told_what_ended(self, driver: Driver, running: Running) -> None:
        found: list[tuple[str, ...]] = []
        waiting = threading.Thread(target=lambda: found.append(driver.executor.changed()), daemon=True)
        waiting.start()
        driver.end(running, 0)
        waiting.join(SECONDS)
        assert found == [(running.handle,)]
        assert driver.executor.poll(running.handle) == AttemptExit(0)

    def test_whoever_starts_what_has_ended_is_told(self, driver: Driver, running: Running) -> None:
        driver.end(running, 3)
        assert ended(driver.executor, running.handle) == AttemptExit(3)
        other = driver.anew()
        assert other.start(running.spec) == running.handle
        while running.handle not in other.changed():
            pass
        assert other.poll(running.handle) == AttemptExit(3)

    def test_a_wake_ends_the_wait_once(self, driver: Driver, running: Running) -> None:
        found: list[tuple[str, ...]] = []
        for _ in range(2):  # from another thread, and before anything waits
            waiting = threading.Thread(target=lambda: found.append(driver.executor.changed()), daemon=True)
            waiting.start()
            driver.executor.wake()
            waiting.join(SECONDS)
        assert found == [(), ()]
        assert driver.executor.poll(running.handle) is None

    def test_closing_ends_the_wait_and_not_the_attempt(self, driver: Driver, running: Running) -> None:
        driver.executor.close()
        assert driver.executor.changed() == ()
        assert driver.anew().poll(running.handle) is None


def ended(executor: Executor, handle: str) -> AttemptExit:
    """Wait for the end of an attempt as the engine does: with `changed`, then `poll`."""
    executor.poll(handle)  # from now on `changed` reports it
    while (found := executor.poll(handle)) is None:
        executor.changed()
    return found

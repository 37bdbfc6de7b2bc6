"""An engine that takes connections and never answers; no Docker is needed for that."""

from __future__ import annotations

import gc
import socket
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from fabric_jobs.errors import ExecutorUnavailable
from fabric_jobs.executors.base import AttemptSpec, ProcessSpec
from fabric_jobs.executors.docker import DockerExecutor, patience
from fabric_jobs.executors.docker.patience import Patience

MOMENT = 0.2
SPEC = AttemptSpec(name="attempt-1", processes=(ProcessSpec(directory=None, image="some"),))


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "PATIENCE_SECONDS", MOMENT)


@pytest.fixture
def executor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DockerExecutor]:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "silent"))
        silent.listen(64)
        monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path / 'silent'}")
        made = DockerExecutor(tmp_path / "attempts")
        yield made
        made.close()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # the library leaves connections open that were cut
            silent.shutdown(socket.SHUT_RDWR)
            silent.close()
            for thread in threading.enumerate():
                if thread.name.startswith("docker-"):
                    thread.join(30)
            gc.collect()


def test_a_silent_engine_costs_whoever_asks_one_moment(executor: DockerExecutor) -> None:
    (executor._root / "known").mkdir(parents=True)
    (executor._root / "known" / "spec.json").write_text("{}")
    began = time.monotonic()
    for _ in range(20):
        with pytest.raises(ExecutorUnavailable, match="does not answer"):
            executor.inside("attempt-1")
        with pytest.raises(ExecutorUnavailable, match="does not answer"):
            executor.start(SPEC)
        with pytest.raises(ExecutorUnavailable, match="does not answer"):
            executor.poll("known")
    assert time.monotonic() - began < 10 * MOMENT


def test_a_late_answer_is_for_who_asks_next() -> None:
    asked, gate = Patience(), threading.Event()
    asks: list[int] = []

    def question() -> int:
        asks.append(1)
        gate.wait(30)
        return len(asks)

    for _ in range(3):
        with pytest.raises(ExecutorUnavailable):
            asked.ask("slow", question)
    answer = asked._questions["slow"].answer
    gate.set()
    assert answer.result(30) == 1
    assert asked.ask("slow", question) == 1
    assert asked.ask("slow", question) == 2


def test_an_old_answer_is_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "FRESH_SECONDS", 0.0)
    asked, gate = Patience(), threading.Event()
    with pytest.raises(ExecutorUnavailable):
        asked.ask("slow", lambda: gate.wait(30))
    answer = asked._questions["slow"].answer
    gate.set()
    answer.result(30)
    assert asked.ask("slow", lambda: "new") == "new"


def test_what_the_question_raises_is_raised() -> None:
    def wrong() -> None:
        raise KeyError("wrong")

    asked = Patience()
    for _ in range(2):
        with pytest.raises(KeyError, match="wrong"):
            asked.ask("wrong", wrong)

"""An engine that accepts connections but never answers. It needs no Docker."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from fabric_jobs.errors import ExecutorUnavailable
from fabric_jobs.executors.docker import patience
from fabric_jobs.executors.docker.patience import Patience

MOMENT = 0.2
# In its own process: the library keeps connections to a silent engine open for a minute.
ASKS = f"""
import os, sys, time
from pathlib import Path
from fabric_jobs.errors import ExecutorUnavailable
from fabric_jobs.executors.base import AttemptSpec, ProcessSpec
from fabric_jobs.executors.docker import DockerExecutor, patience
patience.PATIENCE_SECONDS = {MOMENT}
root = Path(sys.argv[1])
(root / "known").mkdir()
(root / "known" / "spec.json").write_text("{{}}")
spec = AttemptSpec(name="attempt-1", processes=(ProcessSpec(directory=None, image="some"),))
executor = DockerExecutor(root)
asks = (
    lambda: executor.inside("attempt-1"),
    lambda: executor.start(spec),
    lambda: executor.poll("known"),
    lambda: executor.stop("known", 0.0),
    lambda: executor.stop("unknown", 0.0),
)
said = set()
began = time.monotonic()
for _ in range(20):
    for ask in asks:
        try:
            ask()
        except ExecutorUnavailable as error:
            said.add(error.message)
asked = time.monotonic()
executor.close()
print(asked - began, time.monotonic() - asked, *said, sep="\\n", flush=True)
os._exit(0)
"""


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "PATIENCE_SECONDS", MOMENT)


def test_a_silent_engine_costs_whoever_asks_one_moment(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "silent"))
        silent.listen(64)
        environment = {**os.environ, "DOCKER_HOST": f"unix://{tmp_path / 'silent'}"}
        words = [sys.executable, "-c", ASKS, str(tmp_path)]
        ran = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60, check=True)
    asking, closing, *said = ran.stdout.splitlines()
    assert said == ["the Docker engine does not answer: it accepts calls but sends nothing."]
    assert float(asking) < 10 * MOMENT
    assert float(closing) < 3


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

"""Unforeseen exceptions: after a few tries the activation fails with that cause, and others go on."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import pytest

from fabric_jobs.engine import engine
from fabric_jobs.engine.decide import decide
from fabric_jobs.states import ActivationState, TaskState
from fabric_jobs.store import Effects, Store, tasks
from tests.engine.bench import Bench
from tests.factories import save_skill, skill_document

TRIES = 4  # the first, and the retries of a lost attempt


class Fault:
    """Raises at every call, for attempts of the skill `a` only."""

    def __init__(self, real: Callable[..., Any]) -> None:
        self.real = real
        self.calls = 0

    def __call__(self, subject: Any, *rest: Any) -> Any:
        if "-a-" not in getattr(subject, "name", str(subject)):
            return self.real(subject, *rest)
        self.calls += 1
        raise RuntimeError("Could not determine home directory.")


@pytest.mark.parametrize("step", ["start", "poll", "merged", "logs"])
def test_an_unforeseen_error_fails_its_task_and_no_other(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, step: str
) -> None:
    fault = Fault(getattr(bench.place, step))
    monkeypatch.setattr(bench.place, step, fault)
    response = {"logs": "stdout", "merged": "combined"}.get(step, "stdout")
    broken = bench.skill("a", response=response)
    if step != "start":
        bench.until(lambda: bench.tasks("a.in")[0].attempt_name in bench.place.specs)
        bench.place.finish(bench.tasks("a.in")[0].attempt_name, 0)
    ended = bench.ended(broken)
    assert ended.state is ActivationState.ERROR
    assert "RuntimeError: Could not determine home directory." in ended.cause
    assert fault.calls >= TRIES
    tracebacks = [record for record in caplog.records if record.levelno == logging.ERROR and record.exc_info]
    assert len(tracebacks) == TRIES

    other = bench.skill("b")
    bench.finish("b.in")
    assert bench.ended(other).state is ActivationState.COMPLETE


def test_a_retry_is_not_for_an_unforeseen_error(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.place, "start", Fault(bench.place.start))
    bench.ended(bench.skill("a", retries={"limit": 5, "backoff_seconds": 0}))
    (task,) = bench.tasks("a.in")
    assert (task.state, task.attempt) == (TaskState.FAILED, 1)


def test_an_attempt_that_cannot_be_stopped_does_not_hold_up_its_activation(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = Fault(bench.place.stop)
    monkeypatch.setattr(bench.place, "stop", fault)
    activation_id = bench.skill("a")
    bench.running("a.in")
    bench.engine.cancel(activation_id, "p", "enough").result(30)
    assert bench.ended(activation_id).state is ActivationState.CANCELLED
    assert fault.calls >= TRIES


def test_an_activation_that_cannot_be_looked_at_ends(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    activation_id = bench.skill("a")
    task = bench.running("a.in")
    monkeypatch.setattr(engine, "decide", lambda taken: 1 / 0 if taken.activation.name == "a" else decide(taken))
    bench.place.finish(task.attempt_name, 0)
    ended = bench.ended(activation_id)
    assert (ended.state, "ZeroDivisionError" in ended.cause) == (ActivationState.ERROR, True)
    assert tasks.live_count(bench.store.read) == 0
    other = bench.skill("b")
    bench.finish("b.in")
    assert bench.ended(other).state is ActivationState.COMPLETE


def test_a_listener_that_raises_ends_neither_the_writer_nor_the_others(bench: Bench) -> None:
    def raise_(effects: Effects) -> None:
        raise KeyError("nobody foresaw this")

    bench.store.listen(raise_)
    activation_id = bench.skill("a")
    bench.finish("a.in")
    assert bench.ended(activation_id).state is ActivationState.COMPLETE


def test_each_listener_is_told(store_of_one: Store) -> None:
    told: list[str] = []

    def raise_(effects: Effects) -> None:
        told.append("first")
        raise KeyError("nobody foresaw this")

    store_of_one.listen(raise_)
    store_of_one.listen(lambda effects: told.append("second"))
    store_of_one.write(lambda tx: None).result(30)
    assert told == ["first", "second"]


@pytest.fixture
def store_of_one(bench: Bench) -> Store:
    """Return a store that only the test writes to."""
    bench.engine.close()
    return bench.store


def test_a_step_of_the_time_of_day_stops_no_retry(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    save_skill(bench.store, skill_document("a", retries={"limit": 2, "backoff_seconds": 0.05}, timeout=3600))
    activation_id = bench.invoke("skill", "a")
    bench.running("a.in")
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() - 7200)
    bench.finish("a.in", 1)
    bench.until(lambda: bench.running("a.in").attempt == 2)
    monkeypatch.setattr(time, "time", lambda: now() + 7200)
    bench.finish("a.in", 1)
    bench.until(lambda: bench.running("a.in").attempt == 3)
    bench.finish("a.in")
    assert bench.ended(activation_id).state is ActivationState.COMPLETE

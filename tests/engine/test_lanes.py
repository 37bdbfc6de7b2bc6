"""A silent executor delays only its own tasks, and its wishes are repeated."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fabric_jobs.executors.base import AttemptExit, AttemptSpec, Inside, Note
from fabric_jobs.states import ActivationState
from fabric_jobs.store import tasks
from tests.engine.bench import Bench
from tests.executors.fake import FakeExecutor
from tests.factories import save_skill, skill_document

SECONDS = 30.0


class Silent(FakeExecutor):
    """Accepts one kind of call, and answers only at the end of the test."""

    name = "silent"

    def __init__(self, step: str) -> None:
        super().__init__()
        self.step = step
        self.called, self.go_on = threading.Event(), threading.Event()

    def _hold(self, step: str) -> None:
        if step == self.step:
            self.called.set()
            assert self.go_on.wait(SECONDS)

    def inside(self, name: str) -> Inside:
        self._hold("inside")
        return super().inside(name)

    def start(self, spec: AttemptSpec) -> str:
        self._hold("start")
        return super().start(spec)

    def poll(self, handle: str) -> AttemptExit | None:
        self._hold("poll")
        return super().poll(handle)

    def stop(self, handle: str, grace: float) -> None:
        self._hold("stop")
        super().stop(handle, grace)

    def logs(self, handle: str, stream: str, offset: int, limit: int) -> bytes:
        self._hold("logs")
        return super().logs(handle, stream, offset, limit)


class Broken(dict[str, Any]):
    """A mapping of executors, one of which cannot be made."""

    def __getitem__(self, name: str) -> Any:
        if name == "broken":
            raise ImportError("its library is broken")
        return super().__getitem__(name)


@pytest.fixture(params=["inside", "start", "poll", "stop", "logs"])
def silent(request: pytest.FixtureRequest) -> Iterator[Silent]:
    made = Silent(request.param)
    yield made
    made.go_on.set()


def test_a_silent_place_delays_nothing_but_its_own_tasks(tmp_path: Path, silent: Silent) -> None:
    bench = Bench(tmp_path, others={"silent": silent})
    save_skill(bench.store, skill_document("a", response="stdout"))
    stuck = bench.invoke("skill", "a", executor="silent")
    if silent.step in ("poll", "stop", "logs"):
        bench.until(lambda: silent.specs)
        (name,) = silent.specs
        if silent.step == "stop":
            bench.engine.cancel(stuck, "p", "enough").result(SECONDS)
        else:
            silent.finish(name, 0)
    assert silent.called.wait(SECONDS)
    other = bench.invoke("skill", "a")
    bench.until(lambda: bench.place.specs)
    bench.place.finish(next(iter(bench.place.specs)), 0)
    assert bench.ended(other).state is ActivationState.COMPLETE
    assert tasks.live(bench.store.read, stuck) != []
    silent.go_on.set()
    bench.until(lambda: silent.specs)
    silent.finish(next(iter(silent.specs)), 0)
    bench.ended(stuck)
    bench.close()


def test_a_place_that_cannot_be_used_at_all_holds_up_its_own_tasks_only(bench: Bench) -> None:
    bench.engine._places.executors = Broken(fake=bench.place)
    save_skill(bench.store, skill_document("a"))
    stuck = bench.invoke("skill", "a", executor="broken")
    other = bench.invoke("skill", "a")
    bench.until(lambda: bench.place.specs)
    bench.place.finish(next(iter(bench.place.specs)), 0)
    assert bench.ended(other).state is ActivationState.COMPLETE
    assert not bench.activation(stuck).ended


def test_what_a_place_could_not_do_is_wished_again(bench: Bench) -> None:
    bench.place.unreachable = True
    activation_id = bench.skill("a")
    bench.until(lambda: bench.place.refused >= 2)
    assert bench.engine.troubles(activation_id) == {"a.in": "the place does not answer"}
    bench.place.unreachable = False
    bench.finish("a.in")
    assert bench.ended(activation_id).state is ActivationState.COMPLETE
    assert bench.engine.troubles(activation_id) == {}


def test_many_wishes_do_not_keep_a_lane_from_hearing_what_has_ended(tmp_path: Path) -> None:
    bench = Bench(tmp_path, slots={"fake": 500}, activations=200)
    save_skill(bench.store, skill_document("a"))
    found = [bench.invoke("skill", "a") for _ in range(100)]
    bench.until(lambda: len(bench.place.specs) == 100)
    for name in list(bench.place.specs):
        bench.place.finish(name, 0)
    assert {bench.ended(each).state for each in found} == {ActivationState.COMPLETE}
    bench.close()


def test_a_skill_alone_takes_two_transactions(bench: Bench) -> None:
    save_skill(bench.store, skill_document("a"))
    bench.ended(_finished(bench))  # after all work that a process does once
    before = bench.store.commits
    bench.ended(_finished(bench))
    assert (
        bench.store.commits - before <= 3
    )  # the handle is stored together with the end, unless that takes longer than a moment


def _finished(bench: Bench) -> str:
    known = set(bench.place.specs)
    activation_id = bench.invoke("skill", "a")
    bench.until(lambda: set(bench.place.specs) - known)
    bench.place.finish((set(bench.place.specs) - known).pop(), 0)
    return activation_id


def test_what_a_place_waits_for_is_not_the_time_of_the_program(bench: Bench) -> None:
    save_skill(bench.store, skill_document("a", timeout=0.2))
    activation_id = bench.invoke("skill", "a")
    bench.until(lambda: bench.place.specs)
    (name,) = bench.place.specs
    bench.place.notes[name] = Note(doing="pulling an image", waits=True)
    started_at = bench.tasks()[0].not_before_at
    bench.until(lambda: bench.tasks()[0].not_before_at > started_at)
    assert bench.place.stopped == []
    bench.place.notes[name] = Note()
    ended = bench.ended(activation_id)
    assert ended.cause == "skill 'a' failed: it ran longer than its timeout of 0.2s"

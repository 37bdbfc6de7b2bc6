"""What the engine knows of attempts whose places do not answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from fabric_jobs.clock import steady
from fabric_jobs.engine import places as module
from fabric_jobs.engine.faults import Faults
from fabric_jobs.engine.places import Places
from fabric_jobs.engine.wakes import Wakes
from fabric_jobs.engine.works import given_up
from fabric_jobs.executors.base import AttemptExit
from fabric_jobs.states import TaskState
from tests.acceptance.live import until
from tests.engine.bench import Bench, Place
from tests.factories import task


class Running(Place):
    """A place where every attempt runs."""

    def poll(self, handle: str) -> AttemptExit | None:
        return None


def test_troubles_that_follow_each_other_are_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lane tells of one when it is asked, and of another when its place says that something has changed."""
    wakes, mine = Wakes(), task(state=TaskState.ACTIVE)
    places = Places({"fake": Running(told=lambda: None)}, wakes, Faults(3))
    places.look(given_up(mine), "fake", "handle")
    until(lambda: places.handle(mine), "its place has it")
    for seconds in (0.05, 1000.0):
        monkeypatch.setattr(module, "RETRY_SECONDS", seconds)
        places.in_trouble(mine, "away")
    assert until(wakes.wait, "the engine is woken") == [mine.subject]
    assert not places.in_hand([mine], steady()), "the engine is not woken again"
    places.close()


def test_an_earlier_timer_does_not_replace_the_next_look_after_a_trouble(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.2)
    bench = Bench(tmp_path)
    activation_id, mine = bench.skill(), bench.running("a.in")
    engine = bench.engine
    engine._places.in_trouble(mine, "away")
    engine._wakes.put_at(activation_id, steady())
    until(lambda: not engine.troubles(activation_id), "its place is asked again")
    bench.close()

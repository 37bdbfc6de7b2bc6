"""What the engine knows of attempts: no change is ever missed, whatever comes first. No threads of the class are used."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fabric_jobs.engine.attempts import EARLY_LIMIT, Attempts
from fabric_jobs.engine.faults import Faults
from fabric_jobs.executors.base import LOST, AttemptExit
from fabric_jobs.executors.fake import FakeExecutor
from fabric_jobs.records import Task
from fabric_jobs.states import TaskState
from fabric_jobs.store import Store
from tests.factories import add_activation, add_task, started, task


class Silent(FakeExecutor):
    """Says nothing by itself; the test forwards what changed."""

    def __init__(self) -> None:
        super().__init__()
        self.polls = 0
        self.during_poll: Callable[[], None] = lambda: None

    def changed(self) -> tuple[str, ...]:
        return ()

    def poll(self, handle: str) -> AttemptExit | None:
        self.polls += 1
        found = self.exits.get(handle)
        self.during_poll()
        return found


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "state.db")
    add_activation(opened)
    yield opened
    opened.close()


@pytest.fixture
def place() -> Silent:
    return Silent()


@pytest.fixture
def woken() -> list[str]:
    return []


@pytest.fixture
def attempts(place: Silent, woken: list[str]) -> Attempts:
    return Attempts({"fake": place}, woken.append, Faults(3))


def active(task_id: int = 1, attempt: int = 1) -> Task:
    return task(task_id=task_id, state=TaskState.ACTIVE, attempt=attempt)


def exits(attempts: Attempts, store: Store, *live: Task) -> dict[int, AttemptExit]:
    return attempts.exits(store.read, list(live))[0]


def test_only_what_may_have_changed_is_asked_for(attempts: Attempts, store: Store, place: Silent) -> None:
    attempts.note(active(), "fake", "h1")
    for _ in range(3):
        assert exits(attempts, store, active()) == {}
    assert place.polls == 1
    attempts._mark("h1")
    assert exits(attempts, store, active()) == {}
    assert place.polls == 2


def test_an_end_that_comes_while_we_look_is_seen_at_the_next_look(
    attempts: Attempts, store: Store, place: Silent
) -> None:
    attempts.note(active(), "fake", "h1")

    def ends_now() -> None:
        place.during_poll = lambda: None
        place.exits["h1"] = AttemptExit(0)
        attempts._mark("h1")

    place.during_poll = ends_now
    assert exits(attempts, store, active()) == {}
    assert exits(attempts, store, active()) == {1: AttemptExit(0)}


def test_an_end_that_comes_before_we_know_the_handle_wakes_us_when_we_do(attempts: Attempts, woken: list[str]) -> None:
    assert attempts._mark("h1") is None
    assert woken == []
    attempts.note(active(), "fake", "h1")
    assert woken == ["a1"]


def test_an_end_is_told_until_it_was_dealt_with(attempts: Attempts, store: Store, place: Silent) -> None:
    attempts.note(active(), "fake", "h1")
    place.exits["h1"] = AttemptExit(3)
    for _ in range(2):
        assert exits(attempts, store, active()) == {1: AttemptExit(3)}
    attempts.forget(active())
    assert exits(attempts, store, active()) == {}


def test_a_place_that_does_not_answer_is_asked_again(attempts: Attempts, store: Store, place: Silent) -> None:
    attempts.note(active(), "fake", "h1")

    def unreachable() -> None:
        place.unreachable = True
        place._reach()

    place.during_poll = unreachable
    assert attempts.exits(store.read, [active()]) == ({}, True)
    place.during_poll = lambda: None
    place.exits["h1"] = AttemptExit(None, LOST)
    assert attempts.exits(store.read, [active()]) == ({1: AttemptExit(None, LOST)}, False)


def test_the_end_of_an_older_attempt_says_nothing_about_the_next_one(
    attempts: Attempts, store: Store, place: Silent
) -> None:
    attempts.note(active(), "fake", "h1")
    place.exits["h1"] = AttemptExit(None, LOST)
    attempts.note(active(attempt=2), "fake", "h2")
    attempts._mark("h1")
    assert exits(attempts, store, active(attempt=2)) == {}
    assert attempts.accepted((active(attempt=2),)) == {1}
    assert attempts.accepted((active(attempt=3),)) == frozenset()
    attempts.forget(active(attempt=2))
    assert attempts._mark("h1") is None
    assert attempts._mark("h2") is None


def test_a_new_process_finds_the_handle_in_the_store(attempts: Attempts, store: Store, place: Silent) -> None:
    live = started(store, add_task(store))
    place.exits["t-1"] = AttemptExit(4)
    assert exits(attempts, store, live) == {live.task_id: AttemptExit(4)}
    assert attempts.handle(store.read, live) == (place, "t-1")
    assert attempts.handle(store.read, replace(live, attempt=2)) is None


def test_a_queued_task_is_not_asked_for(attempts: Attempts, store: Store, place: Silent) -> None:
    assert exits(attempts, store, add_task(store)) == {}
    assert place.polls == 0


def test_what_nobody_ever_asks_for_does_not_pile_up(attempts: Attempts) -> None:
    for number in range(EARLY_LIMIT + 10):
        attempts._mark(f"h{number}")
    assert len(attempts._early) == EARLY_LIMIT

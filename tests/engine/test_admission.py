"""A limited number of activations run at a time. Others wait in order, but those that a job invokes never wait."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fabric_jobs.states import ActivationState
from fabric_jobs.store import activations, tasks
from tests.engine.bench import Bench
from tests.factories import save_skill, skill_document


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Bench]:
    """Yield a bench that runs two activations at a time."""
    made = Bench(tmp_path, activations=2)
    save_skill(made.store, skill_document("a"))
    yield made
    made.close()


def invoke(bench: Bench, number: int) -> list[str]:
    return [bench.invoke("skill", "a") for _ in range(number)]


def admitted(bench: Bench, *ids: str) -> list[bool]:
    return [bench.activation(each).admitted for each in ids]


def finish(bench: Bench, activation_id: str) -> None:
    """Wait for an activation's program to run, and end it."""

    def names() -> list[str]:
        found = tasks.live(bench.store.read, activation_id)
        return [task.attempt_name for task in found if task.attempt_name in bench.place.specs]

    bench.until(names)
    bench.place.finish(names()[0], 0)


def test_the_first_run_and_the_others_wait_in_their_order(two: Bench) -> None:
    found = invoke(two, 5)
    assert admitted(two, *found) == [True, True, False, False, False]
    assert [activations.waiting_before(two.store.read, each) for each in found[2:]] == [0, 1, 2]
    assert tasks.live_count(two.store.read) == 2
    finish(two, found[1])
    two.until(lambda: admitted(two, *found) == [True, True, True, False, False])
    assert not two.activation(found[3]).ended
    for each in (found[0], *found[2:]):
        finish(two, each)
        assert two.ended(each).state is ActivationState.COMPLETE


def test_one_that_comes_later_does_not_overtake(two: Bench) -> None:
    first, second, waiting = invoke(two, 3)
    finish(two, first)
    two.until(lambda: two.activation(waiting).admitted)
    (last,) = invoke(two, 1)
    assert admitted(two, second, waiting, last) == [True, True, False]


def test_what_a_task_of_a_running_activation_invokes_does_not_wait(two: Bench) -> None:
    parents = invoke(two, 2)
    two.running("a.in", 2)
    (task,) = tasks.live(two.store.read, parents[0])
    children = [two.invoke("skill", "a", invoker=f"{task.task_id}-{task.attempt}") for _ in range(3)]
    assert admitted(two, *children) == [True, True, True]
    finish(two, parents[0])
    two.ended(parents[0])
    strangers = [two.invoke("skill", "a", invoker=each) for each in (f"{task.task_id}-1", "9999-1", "x-1", "1-", "-1")]
    assert admitted(two, *strangers) == [False] * 5, "only an attempt that runs is a reason"


def test_one_that_waits_can_be_cancelled(two: Bench) -> None:
    *_, waiting, last = invoke(two, 4)
    two.engine.cancel(waiting, "p", "enough").result(30)
    assert two.ended(waiting).state is ActivationState.CANCELLED
    assert activations.waiting_before(two.store.read, last) == 0


def test_those_that_wait_have_their_turn_with_the_next_engine(two: Bench) -> None:
    found = invoke(two, 4)
    two.restart()
    for each in found:
        finish(two, each)
        assert two.ended(each).state is ActivationState.COMPLETE


def test_room_that_a_new_engine_has_is_used(two: Bench) -> None:
    found = invoke(two, 4)
    two.settings = type(two.settings)(state_dir=two.settings.state_dir, activations=3, grace_seconds=0.0)
    two.restart()
    two.until(lambda: admitted(two, *found) == [True, True, True, False])

"""Worker slots are shared: a slot freed by one activation goes to whichever waits next."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fabric_jobs.states import TaskState
from tests.engine.bench import Bench
from tests.factories import agent_document, save_agent, save_skill, skill_document

STREAMED = [("input", "s.in"), ("s.out", "m.in"), ("m.out", "output")]


@pytest.fixture
def narrow(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path, slots={"fake": 2})
    yield made
    made.close()


def started(bench: Bench, activation_id: str) -> int:
    """Return the number of an activation's message tasks that have started."""
    found = [task for task in bench.tasks() if task.activation_id == activation_id and task.receives == "message"]
    return sum(task.state is not TaskState.QUEUED for task in found)


def streamed(bench: Bench, records: int) -> str:
    """Start an activation with `records` message tasks, four at a time; return its id."""
    save_skill(bench.store, skill_document("s", receives="stream"))
    save_skill(bench.store, skill_document("m", workers=4))
    save_agent(bench.store, agent_document(["s", "m"], STREAMED))
    activation_id = bench.invoke("agent", "chain")
    bench.until(
        lambda: any(task.activation_id == activation_id and task.state == "ACTIVE" for task in bench.tasks("s.in"))
    )
    task = next(task for task in bench.tasks("s.in") if task.activation_id == activation_id)
    bench.send(task, *range(records))
    return activation_id


def test_a_slot_that_another_activation_frees_is_taken_at_once(narrow: Bench) -> None:
    save_skill(narrow.store, skill_document("other"))
    narrow.invoke("skill", "other")
    narrow.running("other.in")
    waiting = streamed(narrow, 3)
    narrow.until(lambda: started(narrow, waiting) == 1)  # the one guaranteed to every skill
    narrow.finish("other.in")
    narrow.until(lambda: started(narrow, waiting) == 2)


def test_those_that_wait_after_an_end_of_their_own_are_remembered(narrow: Bench) -> None:
    save_skill(narrow.store, skill_document("other"))
    narrow.invoke("skill", "other")
    narrow.running("other.in")
    waiting = streamed(narrow, 4)
    narrow.finish("m.in")  # the next one starts in the transaction of this end, without another look
    narrow.until(lambda: started(narrow, waiting) == 2)
    narrow.finish("other.in")
    narrow.until(lambda: started(narrow, waiting) == 3)


def ended(bench: Bench) -> int:
    return sum(task.ended for task in bench.tasks("m.in"))


def await_more(bench: Bench, before: int) -> None:
    bench.until(lambda: ended(bench) > before)


def test_whoever_waits_has_its_turn(narrow: Bench) -> None:
    first, second = streamed(narrow, 4), streamed(narrow, 4)
    narrow.until(lambda: started(narrow, first) >= 1 and started(narrow, second) >= 1)
    for _ in range(8):
        before = ended(narrow)
        narrow.until(lambda: any(task.state == "ACTIVE" for task in narrow.tasks("m.in")))
        task = next(task for task in narrow.tasks("m.in") if task.state == "ACTIVE")
        narrow.place.finish(task.attempt_name, 0)
        await_more(narrow, before)
    assert all(task.state is TaskState.COMPLETE for task in narrow.tasks("m.in"))

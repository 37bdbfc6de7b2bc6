"""Lists: the chosen index changes how much is read, never what is found, and pages by key join without a gap."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric_jobs.states import ActivationState, TaskState
from fabric_jobs.store import Store, activations, dead_letters, lists, tasks
from fabric_jobs.store.activations import RunFilter
from fabric_jobs.store.dead_letters import LetterFilter
from tests.factories import PROJECT, add_activation, add_channel, append, new_activation, new_task

COUNT = 80
STATES = (None, "PENDING", "COMPLETE", "ERROR", "CANCELLED", "NONE")
NAMES = (None, "a", "b", "c")
TIMES = (None, 2.0, 5.5, 100.0)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = Store(tmp_path_factory.mktemp("lists") / "state.db")
    chance = random.Random(7)

    def fill(tx: Any) -> None:
        for number in range(COUNT):
            kind, name = chance.choice(["agent", "skill"]), chance.choice("ab")
            project = chance.choice([PROJECT, PROJECT, "other"])
            key = f"{number:03}"
            more = {"correlation_id": chance.choice(["corr", "000", key])}
            activations.create(tx, new_activation(key, project_id=project, kind=kind, name=name, **more))
            state = chance.choice(STATES[1:-1])
            tx.connection.execute(
                "update activations set started_at = ?, state = ?, ended_at = ? where activation_id = ?",
                (float(number // 8), state, None if state == "PENDING" else chance.uniform(0, 12), key),
            )
            skill = chance.choice("ab")
            task = new_task(
                f"{skill}.in", f"t{number}", activation_id=key, project_id=project, action_name=chance.choice("ab")
            )
            found = tasks.find(tx, tasks.create(tx, task))
            assert found is not None
            ending = chance.choice(list(TaskState))
            tx.connection.execute("update tasks set state = ? where task_id = ?", (ending.value, found.task_id))

    store.write(fill).result()
    yield store
    store.close()


def rows(store: Store, table: str) -> list[dict[str, Any]]:
    return [dict(row) for row in store.read.connection.execute(f"select * from {table} where project_id = '{PROJECT}'")]


RUNS = st.fixed_dictionaries(
    {
        "state": st.sampled_from(STATES),
        "agent": st.sampled_from(NAMES),
        "skill": st.sampled_from(NAMES),
        "correlation_id": st.sampled_from([None, "corr", "000", "011", "x"]),
        "start_before": st.sampled_from(TIMES),
        "start_after": st.sampled_from(TIMES),
        "end_before": st.sampled_from(TIMES),
        "end_after": st.sampled_from(TIMES),
        "oldest_first": st.booleans(),
    }
)


@given(RUNS, st.integers(1, 12), st.sampled_from([1, 5, 1000]))
def test_activations_are_those_of_the_filter_however_they_are_found(
    full: Store, wanted: dict[str, Any], limit: int, many: int
) -> None:
    def fits(row: dict[str, Any]) -> bool:
        ended = row["ended_at"]
        return all(
            (
                wanted["state"] in (None, row["state"]),
                wanted["agent"] is None or (row["kind"], row["name"]) == ("agent", wanted["agent"]),
                wanted["skill"] is None or (row["kind"], row["name"]) == ("skill", wanted["skill"]),
                wanted["correlation_id"] in (None, row["correlation_id"]),
                wanted["start_before"] is None or row["started_at"] < wanted["start_before"],
                wanted["start_after"] is None or row["started_at"] > wanted["start_after"],
                wanted["end_before"] is None or (ended is not None and ended < wanted["end_before"]),
                wanted["end_after"] is None or (ended is not None and ended > wanted["end_after"]),
            )
        )

    expected = sorted(
        ((row["started_at"], row["activation_id"]) for row in rows(full, "activations") if fits(row)),
        reverse=not wanted["oldest_first"],
    )
    filtered = RunFilter(project_id=PROJECT, limit=limit, **wanted)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lists, "MANY", many)
        found: list[tuple[float, str]] = []
        while page := activations.listed(full.read, _after(filtered, found[-1] if found else None)):
            assert len(page) <= limit
            found += [(item.started_at, item.activation_id) for item in page]
        skipped = activations.listed(full.read, RunFilter(project_id=PROJECT, limit=limit, skip=3, **wanted))
    assert found == expected
    assert [item.activation_id for item in skipped] == [key for _, key in expected[3 : 3 + limit]]


def _after(filtered: RunFilter, key: tuple[float, str] | None) -> RunFilter:
    return RunFilter(**{**vars(filtered), "after": key})


TASKS = st.fixed_dictionaries(
    {
        "state": st.sampled_from([None, "NONE", *map(str, TaskState)]),
        "agent": st.sampled_from(NAMES),
        "skill": st.sampled_from(NAMES),
        "action": st.sampled_from(NAMES),
        "activation_id": st.sampled_from([None, "000", "011", "x"]),
        "oldest_first": st.booleans(),
    }
)


@given(TASKS, st.integers(1, 12))
def test_tasks_are_those_of_the_filter_however_they_are_found(full: Store, wanted: dict[str, Any], limit: int) -> None:
    agents = {row["activation_id"]: row["name"] for row in rows(full, "activations") if row["kind"] == "agent"}

    def fits(row: dict[str, Any]) -> bool:
        return all(
            (
                wanted["state"] in (None, row["state"]),
                wanted["agent"] in (None, agents.get(row["activation_id"])),
                wanted["skill"] in (None, row["skill_name"]),
                wanted["action"] in (None, row["action_name"]),
                wanted["activation_id"] in (None, row["activation_id"]),
            )
        )

    expected = sorted((row["task_id"] for row in rows(full, "tasks") if fits(row)), reverse=not wanted["oldest_first"])
    found: list[int] = []
    while page := tasks.listed(
        full.read,
        RunFilter(project_id=PROJECT, limit=limit, after_task=found[-1] if found else None, **wanted),
    ):
        found += [task.task_id for task in page]
    assert found == expected


@pytest.mark.parametrize(
    "wanted", [{}, {"skill_name": "b"}, {"retried": False}, {"retried": True}, {"activation_id": "a1"}]
)
def test_dead_letters_are_paged_by_their_number(store: Store, wanted: dict[str, Any]) -> None:
    add_activation(store)
    channel_id = add_channel(store, "a.in", "b.in", wire=0)
    append(store, list(range(9)))
    made = store.write(lambda tx: tasks.create(tx, new_task())).result()

    def keep(tx: Any) -> None:
        for offset in range(9):
            letter = dead_letters.NewDeadLetter(
                project_id=PROJECT,
                activation_id="a1",
                channel_id=channel_id,
                record_offset=offset,
                task_id=made,
                skill_name="b",
                error={"reason": f"r{offset}"},
                on_error="continue",
                attempts=1,
            )
            dead_letters.keep(tx, letter)
        for kept in dead_letters.listed(tx, LetterFilter(project_id=PROJECT))[::2]:
            dead_letters.retried(tx, kept, "a1")

    store.write(keep).result()
    every = dead_letters.listed(store.read, LetterFilter(project_id=PROJECT, **wanted))
    assert len(every) == {False: 4, True: 5}.get(wanted.get("retried"), 9)  # type: ignore[arg-type]
    found: list[int] = []
    while page := dead_letters.listed(
        store.read, LetterFilter(project_id=PROJECT, limit=2, after=found[-1] if found else 0, **wanted)
    ):
        found += [letter.dead_letter_id for letter in page]
    assert found == [letter.dead_letter_id for letter in every]
    assert dead_letters.count(store.read, LetterFilter(project_id=PROJECT, limit=2, **wanted)) == len(every)


def test_a_page_is_the_same_whatever_came_or_went_before_it(store: Store) -> None:
    """With a number of rows to skip, the next page would repeat one and leave one out."""
    for number in range(6):
        add_activation(store, f"a{number}")
    first = activations.listed(store.read, RunFilter(project_id=PROJECT, limit=2))
    assert [item.activation_id for item in first] == ["a5", "a4"]
    add_activation(store, "new")
    gone = activations.find(store.read, "a5")
    assert gone is not None
    store.write(lambda tx: activations.end(tx, gone, ActivationState.COMPLETE)).result()
    store.write(lambda tx: tx.connection.execute("update activations set project_id = '' where activation_id = 'a5'"))
    after = (first[-1].started_at, first[-1].activation_id)
    second = activations.listed(store.read, RunFilter(project_id=PROJECT, limit=2, after=after))
    assert [item.activation_id for item in second] == ["a3", "a2"]

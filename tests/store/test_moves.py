"""Tasks and activations can make every move in the tables of `states`, and no other."""

from __future__ import annotations

import pytest

from fabric_jobs.records import Event, Task
from fabric_jobs.states import ACTIVATION_MOVES, FINAL_TASK_STATES, TASK_MOVES, ActivationState, TaskState
from fabric_jobs.store import Store, activations, events, tasks
from fabric_jobs.store.activations import RunFilter
from fabric_jobs.store.tasks import Again, Ending
from fabric_jobs.store.totals import by_node
from tests.factories import PROJECT, add_activation, add_task, found, started

LOST = Ending(exit_code=None, reason="lost")
TO = list(TaskState)
PAIRS = [(before, after) for before in TaskState for after in TO]


def happened(store: Store) -> list[Event]:
    return events.after(store.read, 0, project_id=PROJECT)


def in_state(store: Store, state: TaskState) -> Task:
    """Bring a task to a state by allowed moves."""
    add_activation(store)
    task = add_task(store)
    if state is TaskState.QUEUED:
        return task
    if state is TaskState.STARTING:
        starting = store.write(lambda tx: tasks.start(tx, task, "fake")).result()
        assert starting is not None
        return starting
    task = started(store, task)
    if state is not TaskState.ACTIVE:
        store.write(lambda tx: tasks.end(tx, task, state, Ending(exit_code=0))).result()
    return found(store, task.task_id)


def try_move(store: Store, task: Task, to: TaskState) -> None:
    """Try the code's move to a state, whatever the present state is."""
    if to is TaskState.QUEUED:
        store.write(lambda tx: tasks.requeue(tx, task, LOST, Again(lost=True, not_before_at=5.0))).result()
    elif to is TaskState.STARTING:
        store.write(lambda tx: tasks.start(tx, task, "fake")).result()
    elif to is TaskState.ACTIVE:
        store.write(lambda tx: tasks.activate(tx, task, "handle")).result()
    else:
        store.write(lambda tx: tasks.end(tx, task, to, LOST)).result()


@pytest.mark.parametrize(("before", "after"), PAIRS, ids=[f"{before}-{after}" for before, after in PAIRS])
def test_a_task_moves_only_as_the_table_says_and_leaves_one_event(
    store: Store, before: TaskState, after: TaskState
) -> None:
    task = in_state(store, before)
    seen = len(happened(store))
    try_move(store, task, after)
    now = found(store, task.task_id)
    new = happened(store)[seen:]
    if after in TASK_MOVES[before]:
        assert now.state is after
        assert [event.kind for event in new] == [f"task.{after}"]
    else:
        assert now == task
        assert new == []


@pytest.mark.parametrize("before", list(ActivationState))
@pytest.mark.parametrize("after", [state for state in ActivationState if state is not ActivationState.PENDING])
def test_an_activation_ends_once_and_leaves_one_event(
    store: Store, before: ActivationState, after: ActivationState
) -> None:
    add_activation(store)
    activation = activations.find(store.read, "a1")
    assert activation is not None
    if before is not ActivationState.PENDING:
        assert store.write(lambda tx: activations.end(tx, activation, before, cause="first")).result()
    seen = len(happened(store))
    moved = store.write(lambda tx: activations.end(tx, activation, after, cause="second")).result()
    assert moved == (after in ACTIVATION_MOVES[before])
    now = activations.find(store.read, "a1")
    assert now is not None
    assert now.state is (after if moved else before)
    assert now.cause == ("second" if moved else "first")
    assert [event.kind for event in happened(store)[seen:]] == ([f"activation.{after}"] if moved else [])


def test_event_numbers_grow_and_are_read_from_a_number_on(store: Store) -> None:
    in_state(store, TaskState.COMPLETE)
    numbers = [event.number for event in happened(store)]
    assert numbers == sorted(set(numbers))
    assert [event.kind for event in happened(store)] == [
        "activation.PENDING",
        "task.QUEUED",
        "task.STARTING",
        "task.ACTIVE",
        "task.COMPLETE",
    ]
    late = events.after(store.read, numbers[2], project_id=PROJECT, activation_id="a1", limit=1)
    assert [event.kind for event in late] == ["task.ACTIVE"]
    assert events.after(store.read, 0, project_id="other") == []
    assert events.after(store.read, 0, project_id=PROJECT, activation_id="other") == []


def test_each_start_is_an_attempt_with_the_next_number(store: Store) -> None:
    task = in_state(store, TaskState.ACTIVE)
    try_move(store, task, TaskState.QUEUED)
    waiting = found(store, task.task_id)
    again = started(store, waiting)
    assert (again.attempt, again.lost, again.failures, waiting.not_before_at) == (2, 1, 0, 5.0)
    assert again.not_before_at > 5.0  # its timeout counts from here
    assert again.attempt_name == "t-2"
    first, second = tasks.attempts(store.read, task.task_id)
    assert (first.attempt, first.reason, first.ended_at is None) == (1, "lost", False)
    assert (second.attempt, second.handle, second.ended_at) == (2, "t-2", None)


@pytest.mark.parametrize("to", [state for state in TaskState if state is not TaskState.STARTING])
def test_what_an_older_attempt_did_does_not_move_the_task(store: Store, to: TaskState) -> None:
    first = in_state(store, TaskState.ACTIVE)
    try_move(store, first, TaskState.QUEUED)
    second = store.write(lambda tx: tasks.start(tx, found(store, first.task_id), "fake")).result()
    try_move(store, first, to)
    assert found(store, first.task_id) == second


def test_the_wish_to_cancel_is_a_flag_set_once(store: Store) -> None:
    task = in_state(store, TaskState.ACTIVE)
    assert store.write(lambda tx: tasks.ask_cancel(tx, task, "one")).result()
    assert not store.write(lambda tx: tasks.ask_cancel(tx, task, "two")).result()
    now = found(store, task.task_id)
    assert (now.state, now.cancel_requested, now.cause) == (TaskState.ACTIVE, True, "one")
    assert [event.kind for event in happened(store)][-1:] == ["task.cancel"]


def test_a_task_that_ended_cannot_be_cancelled(store: Store) -> None:
    task = in_state(store, TaskState.COMPLETE)
    assert not store.write(lambda tx: tasks.ask_cancel(tx, task, "late")).result()


def test_the_end_of_an_activation_asks_its_live_tasks_to_stop(store: Store) -> None:
    add_activation(store)
    add_activation(store, "a2")
    live, done = started(store, add_task(store, name="live")), started(store, add_task(store, name="done"))
    other = add_task(store, name="other", activation_id="a2")
    store.write(lambda tx: tasks.end(tx, done, TaskState.COMPLETE, Ending(exit_code=0))).result()
    activation = activations.find(store.read, "a1")
    assert activation is not None
    store.write(lambda tx: activations.end(tx, activation, ActivationState.ERROR)).result()
    flags = [found(store, task.task_id).cancel_requested for task in (live, done, other)]
    assert flags == [True, False, False]
    assert activations.unsettled(store.read) == ["a1", "a2"]
    store.write(lambda tx: tasks.end(tx, live, TaskState.CANCELLED, LOST)).result()
    assert activations.unsettled(store.read) == ["a2"]


def test_a_task_that_is_asked_to_cancel_is_not_started(store: Store) -> None:
    task = in_state(store, TaskState.QUEUED)
    store.write(lambda tx: tasks.ask_cancel(tx, task, "no")).result()
    assert store.write(lambda tx: tasks.start(tx, task, "fake")).result() is None


def test_an_attempt_that_broke_a_rule_is_marked_unless_it_is_over(store: Store) -> None:
    task = in_state(store, TaskState.ACTIVE)
    store.write(lambda tx: tasks.condemn(tx, task.task_id, 7, "another attempt")).result()
    assert found(store, task.task_id).cause == ""
    store.write(lambda tx: tasks.condemn(tx, task.task_id, task.attempt, "replay differs")).result()
    assert found(store, task.task_id).cause == "replay differs"
    try_move(store, task, TaskState.QUEUED)
    assert started(store, found(store, task.task_id)).cause == ""


def test_a_cancel_of_an_activation_is_asked_only_while_it_runs(store: Store) -> None:
    add_activation(store)
    activation = activations.find(store.read, "a1")
    assert activation is not None
    assert store.write(lambda tx: activations.ask_cancel(tx, "a1", PROJECT, "enough")).result()
    store.write(lambda tx: activations.end(tx, activation, ActivationState.CANCELLED)).result()
    assert not store.write(lambda tx: activations.ask_cancel(tx, "a1", PROJECT, "again")).result()


def test_lists_are_filtered_and_paged(store: Store) -> None:
    add_activation(store, "a1")
    add_activation(store, "a2", kind="skill", name="solo", correlation_id="c")
    for number in range(3):
        add_task(store, name=f"t{number}")
    add_task(store, "c.in", name="c")
    started(store, found(store, 1))

    def names(**wanted: object) -> list[str]:
        return [task.name for task in tasks.listed(store.read, RunFilter(project_id=PROJECT, **wanted))]  # type: ignore[arg-type]

    def ids(**wanted: object) -> list[str]:
        return sorted(
            item.activation_id
            for item in activations.listed(store.read, RunFilter(project_id=PROJECT, **wanted))  # type: ignore[arg-type]
        )

    assert names() == ["c", "t2", "t1", "t0"]
    assert names(skill="b", limit=2, skip=1) == ["t1", "t0"]
    assert names(state="ACTIVE") == ["t0"]
    assert names(activation_id="a2") == []
    assert (ids(), ids(agent="chain"), ids(skill="solo"), ids(agent="solo")) == (["a1", "a2"], ["a1"], ["a2"], [])
    assert (ids(correlation_id="c"), ids(state="ERROR")) == (["a2"], [])
    counts = {node: found.states for node, found in by_node(store.read, "a1").items()}
    assert counts == {"b.in": {"ACTIVE": 1, "QUEUED": 2}, "c.in": {"QUEUED": 1}}
    assert (tasks.live_count(store.read), tasks.busy_slots(store.read, "fake")) == (4, 0)


def test_only_message_tasks_that_run_hold_a_slot(store: Store) -> None:
    add_activation(store)
    for number, receives in enumerate(("message", "message", "stream")):
        add_task(store, name=f"t{number}", receives=receives)
    for number in (2, 3):
        started(store, found(store, number))
    assert tasks.busy_slots(store.read, "fake") == 1
    assert tasks.busy_slots(store.read, "elsewhere") == 0


def test_the_final_states_are_those_without_a_way_out() -> None:
    assert {state for state, moves in TASK_MOVES.items() if not moves} == FINAL_TASK_STATES
    assert set(TASK_MOVES) == set(TaskState)
    assert set(ACTIVATION_MOVES) == set(ActivationState)

"""The tables of moves are complete, and end in the right states."""

from __future__ import annotations

import pytest

from fabric_jobs.states import (
    ACTIVATION_MOVES,
    FINAL_TASK_STATES,
    LIVE_TASK_STATES,
    TASK_MOVES,
    ActivationState,
    TaskState,
)


def reachable(state: TaskState) -> set[TaskState]:
    found: set[TaskState] = set()
    pending = [state]
    while pending:
        for after in TASK_MOVES[pending.pop()] - found:
            found.add(after)
            pending.append(after)
    return found


def test_every_state_has_a_row() -> None:
    assert set(TASK_MOVES) == set(TaskState)
    assert set(ACTIVATION_MOVES) == set(ActivationState)


def test_a_state_is_live_or_final() -> None:
    assert set(TaskState) == LIVE_TASK_STATES | FINAL_TASK_STATES
    assert not LIVE_TASK_STATES & FINAL_TASK_STATES


@pytest.mark.parametrize("state", sorted(FINAL_TASK_STATES))
def test_nothing_leads_out_of_a_final_state(state: TaskState) -> None:
    assert TASK_MOVES[state] == frozenset()


@pytest.mark.parametrize("state", sorted(LIVE_TASK_STATES))
def test_every_end_can_be_reached_from_every_live_state(state: TaskState) -> None:
    assert reachable(state) >= FINAL_TASK_STATES


def test_no_move_leads_to_itself() -> None:
    assert not [state for state, moves in TASK_MOVES.items() if state in moves]


def test_what_never_ran_is_not_complete_and_timed_nothing_out() -> None:
    assert not TASK_MOVES[TaskState.QUEUED] & {TaskState.COMPLETE, TaskState.TIMEOUT, TaskState.ACTIVE}


def test_an_activation_ends_in_one_move() -> None:
    ends = set(ActivationState) - {ActivationState.PENDING}
    assert ACTIVATION_MOVES[ActivationState.PENDING] == ends
    assert all(not ACTIVATION_MOVES[state] for state in ends)


def test_a_state_is_written_as_its_name() -> None:
    assert f"{TaskState.ACTIVE} {ActivationState.ERROR}" == "ACTIVE ERROR"

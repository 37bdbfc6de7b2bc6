"""Outcomes of a task whose attempt ended: tries, backoff, dead letters, and streams that fail at a record."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric_jobs.definitions import Action, Batch, Retries
from fabric_jobs.engine.outcome import Ended, Outcome, backoff, describe_exit, outcome
from fabric_jobs.engine.suspects import after_death, read
from fabric_jobs.executors.base import LOST, STOPPED, UNPREPARED, AttemptExit
from fabric_jobs.records import Lease, Task
from fabric_jobs.states import TaskState
from fabric_jobs.store.tasks import Again
from tests.factories import node, task

A = node("a.in", workers=2)
PROGRESS = {5: (3, 9), 6: (2, 2)}


def running(count: int, **changes: object) -> tuple[Task, ...]:
    return tuple(task(task_id=1 + index, node=A.key, state=TaskState.ACTIVE, **changes) for index in range(count))


def ended_at(live: Task, ended: AttemptExit, action: Action, now: float) -> Outcome:
    return outcome(live, action, Ended(exit=ended, now=now, lost_limit=3, progress=PROGRESS))


def at_record(limit: int = 0, on_error: str = "fail") -> Action:
    return node("s.in", stream=True, retries=Retries(limit=limit), on_error=on_error).action


def stream(**changes: object) -> Task:
    (live,) = running(1, receives="stream", **changes)
    return live


STATES = {"COMPLETE": TaskState.COMPLETE, "FAILED": TaskState.FAILED, "AGAIN": TaskState.QUEUED}


@pytest.mark.parametrize(("ended", "expected", "cause"), [
    (AttemptExit(0), "COMPLETE", ""),
    (AttemptExit(1), "FAILED", "exit code 1"),
    (AttemptExit(137), "FAILED", "exit code 137 (killed by SIGKILL)"),
    (AttemptExit(1, UNPREPARED), "FAILED", "its requirements could not be installed (exit code 1)"),
    (AttemptExit(None, LOST), "AGAIN", "the attempt was lost"),
    (AttemptExit(None), "AGAIN", "the attempt was lost"),
    (AttemptExit(75), "AGAIN", "the attempt was lost"),
    (AttemptExit(143, STOPPED), "FAILED", "it was stopped"),
    (AttemptExit(0, STOPPED), "FAILED", "it was stopped"),
])  # fmt: skip
def test_how_an_attempt_ended_says_what_becomes_of_the_task(ended: AttemptExit, expected: str, cause: str) -> None:
    (live,) = running(1)
    found = ended_at(live, ended, A.action, 1000.0)
    assert (found.state, found.cause) == (STATES[expected], cause)


@pytest.mark.parametrize("receives", ["message", "stream"])
def test_exit_0_before_a_goodbye_is_a_failure_that_is_tried_again(receives: str) -> None:
    (live,) = running(1, receives=receives, sender_open=True)
    found = ended_at(live, AttemptExit(0), at_record(limit=1), 1000.0)
    assert (found.state, found.again.failures) == (TaskState.QUEUED, 1)
    assert "records may have been lost" in found.cause
    assert ended_at(live, AttemptExit(0), at_record(), 1000.0).state is TaskState.FAILED


@pytest.mark.parametrize("ended", [AttemptExit(0), AttemptExit(1), AttemptExit(None, LOST), AttemptExit(143, STOPPED)])
def test_a_task_that_was_to_be_cancelled_is_cancelled_however_it_ended(ended: AttemptExit) -> None:
    (live,) = running(1, cancel_requested=True, cause="enough")
    found = ended_at(live, ended, A.action, 1000.0)
    assert (found.state, found.cause) == (TaskState.CANCELLED, "enough")


@pytest.mark.parametrize("ended", [AttemptExit(0), AttemptExit(1), AttemptExit(75), AttemptExit(None, LOST)])
def test_an_attempt_that_broke_a_rule_fails_however_it_ended(ended: AttemptExit) -> None:
    (live,) = running(1, cause="replay differs")
    found = ended_at(live, ended, A.action, 1000.0)
    assert found == Outcome(state=TaskState.FAILED, cause="replay differs")


def test_a_timeout_is_told_from_another_stop() -> None:
    limited = node("a.in", timeout=2.5).action
    (live,) = running(1, not_before_at=100.0)
    late = ended_at(live, AttemptExit(143, STOPPED), limited, 102.5)
    assert (late.state, late.cause) == (TaskState.TIMEOUT, "it ran longer than its timeout of 2.5s")
    early = ended_at(live, AttemptExit(143, STOPPED), limited, 102.4)
    assert early.state is TaskState.FAILED


@pytest.mark.parametrize(("lost", "expected"), [(0, "AGAIN"), (1, "AGAIN"), (2, "AGAIN"), (3, "FAILED")])
def test_a_lost_attempt_has_tries_of_its_own(lost: int, expected: str) -> None:
    (live,) = running(1, lost=lost, failures=9)
    found = ended_at(live, AttemptExit(None, LOST), A.action, 1000.0)
    assert found.state is STATES[expected]
    assert found.again.lost == (expected == "AGAIN")


@pytest.mark.parametrize(("failures", "wait"), [(0, 1.0), (1, 2.0), (2, 4.0), (3, 5.0), (4, None)])
def test_a_failure_is_tried_again_with_longer_and_longer_waits(failures: int, wait: float | None) -> None:
    action = node("a.in", retries=Retries(limit=4, backoff_seconds=1, max_backoff_seconds=5)).action
    (live,) = running(1, failures=failures, lost=9)
    found = ended_at(live, AttemptExit(1), action, 1000.0)
    if wait is None:
        assert (found.state, found.cause) == (TaskState.FAILED, "exit code 1")
    else:
        assert found == Outcome(
            state=TaskState.QUEUED, cause="exit code 1", again=Again(failures=failures + 1, not_before_at=1000.0 + wait)
        )


@pytest.mark.parametrize(("code", "words"), [
    (None, "its exit code is unknown"), (1, "exit code 1"), (129, "exit code 129 (killed by SIGHUP)"),
    (139, "exit code 139 (killed by SIGSEGV)"), (255, "exit code 255"),
])  # fmt: skip
def test_an_exit_in_words(code: int | None, words: str) -> None:
    assert describe_exit(AttemptExit(code)) == words


# Messages


def test_a_message_that_used_up_its_tries_is_a_dead_letter_unless_the_activation_is_to_fail() -> None:
    (live,) = running(1, channel_id=5, record_offset=4, failures=2)
    for on_error, dead in (("fail", None), ("continue", Lease(5, 4, 5)), ("complete", Lease(5, 4, 5))):
        action = node("a.in", retries=Retries(limit=2), on_error=on_error).action
        found = ended_at(live, AttemptExit(1), action, 1000.0)
        assert (found.state, found.dead, found.attempts) == (TaskState.FAILED, dead, 3)


def test_a_program_can_say_that_another_try_would_fail_too() -> None:
    (live,) = running(1, channel_id=5, record_offset=4)
    action = node("a.in", retries=Retries(limit=9), on_error="continue").action
    assert ended_at(live, AttemptExit(65), action, 1000.0).state is TaskState.FAILED


def test_a_timeout_is_tried_again_as_any_failure() -> None:
    (live,) = running(1, not_before_at=100.0)
    action = node("a.in", timeout=1.0, retries=Retries(limit=1)).action
    assert ended_at(live, AttemptExit(143, STOPPED), action, 101.0).state is TaskState.QUEUED


def test_the_record_of_a_cancelled_message_task_is_kept() -> None:
    (live,) = running(1, channel_id=5, record_offset=4, cancel_requested=True, cause="enough")
    assert ended_at(live, AttemptExit(143, STOPPED), A.action, 1000.0).dead == Lease(5, 4, 5)


# Batches


def batched(*, split: bool = True, **changes: Any) -> Action:
    return replace(A.action, receives="batch", batch=Batch(split=split), on_error="continue", **changes)


def test_a_batch_is_halved_once_its_retries_are_used_up_and_its_halves_are_not_retried() -> None:
    action = batched(retries=Retries(limit=1))
    (first,) = running(1, receives="batch", channel_id=5, record_offset=4, records=4)
    assert not ended_at(first, AttemptExit(1), action, 1000.0).halves
    found = ended_at(replace(first, failures=1), AttemptExit(1), action, 1000.0)
    assert (found.state, found.halves, found.attempts, found.dead) == (TaskState.QUEUED, True, 2, None)
    half = ended_at(replace(first, records=2, tried=2), AttemptExit(1), action, 1000.0)
    assert (half.state, half.halves, half.attempts) == (TaskState.QUEUED, True, 3)
    alone = ended_at(replace(first, records=1, tried=3), AttemptExit(1), action, 1000.0)
    assert (alone.state, alone.dead, alone.attempts) == (TaskState.FAILED, Lease(5, 4, 5), 4)


def test_a_batch_that_is_not_split_is_dead_as_a_whole_and_one_that_fails_the_activation_is_not_halved() -> None:
    (live,) = running(1, receives="batch", channel_id=5, record_offset=4, records=4)
    whole = ended_at(live, AttemptExit(1), batched(split=False), 1000.0)
    assert (whole.state, whole.dead) == (TaskState.FAILED, Lease(5, 4, 8))
    strict = ended_at(live, AttemptExit(1), replace(batched(), on_error="fail"), 1000.0)
    assert (strict.state, strict.dead, strict.halves) == (TaskState.FAILED, None, False)


# Streams


@pytest.mark.parametrize("action", [at_record(limit=1), at_record(on_error="continue")])
def test_a_stream_that_died_without_a_word_is_tried_at_full_speed_first(action: Action) -> None:
    found = ended_at(stream(), AttemptExit(137), action, 1000.0)
    assert (found.state, found.dead) == (TaskState.QUEUED, None)
    assert json.loads(found.again.careful) == {"5": [3, 9, 0]}


@pytest.mark.parametrize("action", [at_record(limit=1), at_record(on_error="continue")])
def test_a_second_death_narrows_the_suspects_whatever_tries_are_left(action: Action) -> None:
    once = stream(careful='{"5": [3, 9, 0]}', failures=1, failed_at='{"5": 3}')
    second = ended_at(once, AttemptExit(137), action, 1000.0)
    assert second.state is TaskState.QUEUED
    assert json.loads(second.again.careful) == {"5": [3, 9, 2]}
    third = ended_at(stream(careful=second.again.careful, left_at="[5, 5, 7]"), AttemptExit(137), action, 1000.0)
    assert third.state is TaskState.QUEUED
    assert json.loads(third.again.careful) == {"5": [5, 7, 1]}
    last = stream(careful=third.again.careful, left_at="[5, 6]", failures=3)
    assert ended_at(last, AttemptExit(137), at_record(on_error="continue"), 1000.0).dead == Lease(5, 6, 7)


def test_a_stream_that_has_got_further_is_not_suspected_of_what_it_has_passed() -> None:
    passed = stream(careful='{"5": [0, 3, 0]}', failures=1, failed_at='{"5": 0}')
    found = ended_at(passed, AttemptExit(137), at_record(limit=1), 1000.0)
    assert json.loads(found.again.careful) == {"5": [3, 9, 0]}


@given(count=st.integers(1, 100_000), at=st.floats(0, 1, exclude_max=True))
def test_two_reads_after_the_second_death_find_a_record_among_any_number(count: int, at: float) -> None:
    culprit, progress = int(count * at), {5: (0, count)}
    careful = after_death("{}", None, progress).careful
    careful = after_death(careful, None, progress).careful
    reads = 0
    while True:
        suspects = read(careful)[5]
        first = suspects.first + (culprit - suspects.first) // suspects.step * suspects.step
        end = min(first + suspects.step, suspects.end)
        left_at = f"[5, {first}, {end}]" if end - first > 1 else f"[5, {first}]"
        found = after_death(careful, left_at, progress)
        reads += 1
        if found.record is not None:
            break
        careful = found.careful
    assert found.record == (5, culprit)
    assert reads <= 2


def test_without_tries_a_stream_fails_at_once_when_the_activation_is_to_fail() -> None:
    assert ended_at(stream(), AttemptExit(137), at_record(), 1000.0).state is TaskState.FAILED


def test_a_named_record_is_tried_as_often_as_retries_say_and_then_passed_over() -> None:
    action = at_record(limit=1, on_error="continue")
    first = ended_at(stream(left_at="[5, 4]"), AttemptExit(1), action, 1000.0)
    assert (first.state, first.dead, first.again.failures) == (TaskState.QUEUED, None, 1)
    second = ended_at(stream(left_at="[5, 4]", failures=1, failed_at="[5, 4]"), AttemptExit(1), action, 1000.0)
    assert (second.state, second.dead, second.attempts) == (TaskState.QUEUED, Lease(5, 4, 5), 2)
    assert second.again == Again(not_before_at=1000.0)


def test_getting_further_begins_to_count_anew() -> None:
    found = ended_at(
        stream(left_at="[5, 7]", failures=1, failed_at="[5, 4]"), AttemptExit(1), at_record(limit=1), 1000.0
    )
    assert (found.state, found.again.failures, found.again.failed_at) == (TaskState.QUEUED, 1, "[5, 7]")


def test_a_stream_that_fails_at_no_record_fails_the_activation_whatever_on_error_says() -> None:
    careful = stream(careful='{"5": [3, 9, 2]}', failed_at="x")
    found = ended_at(careful, AttemptExit(1), at_record(on_error="continue"), 1000.0)
    assert (found.state, found.dead) == (TaskState.FAILED, None)
    assert "no record is at fault" in found.cause


def test_the_wait_never_grows_beyond_its_limit() -> None:
    retries = Retries(limit=5000, backoff_seconds=0.5, max_backoff_seconds=3)
    assert [backoff(retries, count) for count in (1, 2, 3, 4, 5000)] == [0.5, 1.0, 2.0, 3.0, 3.0]

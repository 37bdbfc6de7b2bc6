"""What becomes of a worker of a Batch API whose attempt ended: it is replaced while the job gets on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fabric_jobs.apis import BATCH, Api
from fabric_jobs.documents.api_skill import WORKER_LIMIT, api_skill
from fabric_jobs.engine.outcome import LEFT_EARLY, Ended, outcome, verdict_of
from fabric_jobs.executors.base import LOST, OUT_OF_MEMORY, AttemptExit
from fabric_jobs.records import Task
from fabric_jobs.states import TaskState, Verdict
from tests.factories import task

(ACTION,) = api_skill(Api("score", BATCH, "/score")).actions
FAILED = AttemptExit(1)


def worker(**changes: object) -> Task:
    return task(receives="stream", state=TaskState.ACTIVE, worker=1, **changes)


def ended(code: AttemptExit, *, done: int = 0, is_over: bool = False, was_ready: bool = True) -> Ended:
    progress = {0: (done, 0)}
    return Ended(exit=code, now=9.0, lost_limit=3, progress=progress, is_over=is_over, was_ready=was_ready)


def test_a_worker_may_end_when_nothing_is_left_for_it() -> None:
    assert outcome(worker(), ACTION, ended(AttemptExit(0), is_over=True)).state is TaskState.COMPLETE
    early = outcome(worker(), ACTION, ended(AttemptExit(0)))
    assert (early.state, early.cause) == (TaskState.QUEUED, LEFT_EARLY)


@pytest.mark.parametrize("code", [AttemptExit(0), FAILED, AttemptExit(137, OUT_OF_MEMORY)])
def test_a_worker_that_fails_by_itself_before_it_was_ready_fails_the_job(code: AttemptExit) -> None:
    decided = outcome(worker(), ACTION, ended(code, was_ready=False))
    assert decided.state is (TaskState.QUEUED if (code.code or 0) >= 128 else TaskState.FAILED)


@pytest.mark.parametrize("code", [FAILED, AttemptExit(137), AttemptExit(None, LOST), AttemptExit(75)])
def test_a_worker_is_replaced_some_times_in_a_row_and_for_ever_while_batches_succeed(code: AttemptExit) -> None:
    live, done = worker(), 0
    for _ in range(20):
        done += 1
        decided = outcome(live, ACTION, ended(code, done=done))
        assert decided.state is TaskState.QUEUED
        live = replace(live, failures=decided.again.failures, failed_at=decided.again.failed_at)
    for _ in range(WORKER_LIMIT - 1):
        decided = outcome(live, ACTION, ended(code, done=done))
        assert decided.state is TaskState.QUEUED
        assert decided.again.not_before_at > 9.0
        live = replace(live, failures=decided.again.failures, failed_at=decided.again.failed_at)
    assert outcome(live, ACTION, ended(code, done=done)).state is TaskState.FAILED


def test_the_verdict_on_a_job_says_why_it_ended() -> None:
    assert verdict_of(TaskState.TIMEOUT, "") is Verdict.TIMED_OUT
    assert verdict_of(TaskState.CANCELLED, "") is Verdict.STOPPED
    assert verdict_of(TaskState.FAILED, OUT_OF_MEMORY) is Verdict.WORKER_OOM
    assert verdict_of(TaskState.FAILED, "") is Verdict.WORKER_ERROR

"""The status of a job, and how many of its workers are in which state."""

from __future__ import annotations

import asyncio
import threading
import time
from types import SimpleNamespace
from typing import Any, cast

import pytest

from fabric_jobs.engine.job_status import STALLED_SECONDS, may_wait, worker_counts
from fabric_jobs.gateway import cortex_jobs, job_answers, jobs
from fabric_jobs.gateway.operation import Call
from fabric_jobs.gateway.parts import Parts
from fabric_jobs.jobs import BatchCounts
from fabric_jobs.states import ActivationState, TaskState, Verdict
from tests.factories import activation, job, task

NOW = time.time()


def test_each_worker_is_in_one_state() -> None:
    late = NOW - STALLED_SECONDS - 1
    workers = [
        task(task_id=1, state=TaskState.QUEUED, created_at=NOW),
        task(task_id=2, state=TaskState.STARTING, created_at=late),
        task(task_id=3, state=TaskState.ACTIVE, attempt=2, created_at=late),
        task(task_id=4, state=TaskState.ACTIVE, attempt=2, created_at=late),
        task(task_id=5, state=TaskState.ACTIVE, created_at=NOW),
        task(task_id=6, state=TaskState.ACTIVE, created_at=late),
        task(task_id=7, state=TaskState.COMPLETE, created_at=late),
        task(task_id=8, state=TaskState.FAILED, created_at=late),
    ]
    ready = {3: (2, NOW), 4: (1, NOW)}  # the attempt of 4 that was ready is not the current one
    waiting = {5: NOW, 6: late}
    assert worker_counts(workers, ready, waiting, NOW) == {
        "pending": 2,
        "initializing": 1,
        "running": 1,
        "succeeded": 1,
        "failed": 1,
        "stalled": 2,
    }
    assert [each.task_id for each in workers if may_wait(each, ready)] == [4, 5, 6]


def test_a_worker_that_was_replaced_waits_since_then() -> None:
    long_ago = NOW - 10 * STALLED_SECONDS

    def state(since: float, state: TaskState) -> str:
        worker = task(task_id=1, state=state, created_at=long_ago, not_before_at=since)
        waiting = {1: since} if state is TaskState.ACTIVE else {}
        counts = worker_counts([worker], {}, waiting, NOW)
        return next(name for name, count in counts.items() if count)

    for each in (TaskState.QUEUED, TaskState.STARTING, TaskState.ACTIVE):
        assert state(NOW - 1, each) == "pending"
        assert state(NOW - STALLED_SECONDS - 1, each) == "stalled"


def test_a_job_that_ends_between_two_reads_has_its_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    before = job(kind="TaskAPI", verdict="")  # read while it ran
    stored: dict[str, Any] = {
        "activations": activation(state=ActivationState.ERROR),
        "jobs": job(kind="TaskAPI", verdict=Verdict.WORKER_ERROR.value),
        "definitions": "the API",
    }
    for room, found in stored.items():
        monkeypatch.setattr(getattr(job_answers, room), "find", lambda *_, found=found: found)
    monkeypatch.setattr("fabric_jobs.store.batches.counts_of", lambda *_: BatchCounts())
    parts = cast(Parts, SimpleNamespace(store=SimpleNamespace(read=None)))
    assert job_answers.facts_of(parts, before).status == "worker_error"


def test_the_workers_of_a_job_are_not_read_in_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = []

    def read(*_: object) -> Any:
        threads.append(threading.current_thread())
        return {}

    store = SimpleNamespace(read=None)
    call = cast(
        Call, SimpleNamespace(parts=SimpleNamespace(store=store, live=None), of=lambda _: 0, path_params={"api": "a"})
    )
    monkeypatch.setattr(jobs, "find_job", lambda _: job())
    monkeypatch.setattr(jobs, "facts_of", read)
    monkeypatch.setattr(jobs, "with_note", read)
    monkeypatch.setattr(cortex_jobs, "_found", read)
    monkeypatch.setattr(cortex_jobs, "_answer", read)
    for show in (jobs.show_job, cortex_jobs.show_batch_job, cortex_jobs.show_task_job):
        asyncio.run(show(call))
    assert len(threads) == 6
    assert threading.current_thread() not in threads

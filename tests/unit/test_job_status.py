"""How many workers of a job are in which state."""

from __future__ import annotations

import time

from fabric_jobs.engine.job_status import STALLED_SECONDS, may_wait, worker_counts
from fabric_jobs.states import TaskState
from tests.factories import task

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
    waiting = {5, 6}
    assert worker_counts(workers, ready, waiting, NOW) == {
        "pending": 2,
        "initializing": 1,
        "running": 1,
        "succeeded": 1,
        "failed": 1,
        "stalled": 2,
    }
    assert [each.task_id for each in workers if may_wait(each, ready)] == [4, 5, 6]

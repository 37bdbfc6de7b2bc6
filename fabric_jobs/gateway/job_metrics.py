"""Metrics of jobs, with the names that Cortex Labs gave them, from durable counts (docs/howto/metrics.md#jobs)."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from fabric_jobs.apis import BATCH
from fabric_jobs.states import ActivationState
from fabric_jobs.store import jobs
from fabric_jobs.store.jobs import Measured
from fabric_jobs.store.sql import Sql

SHOWN_SECONDS = 3600.0  # how long a job that has ended is shown: longer than between two scrapes


def job_lines(sql: Sql) -> Iterator[str]:
    """Yield the lines of the metrics of the jobs that run, or ended within the last hour; none without jobs."""
    found = jobs.measured(sql, time.time() - SHOWN_SECONDS)
    of_batch = [job for job in found if job.kind == BATCH]
    of_task = [job for job in found if job.kind != BATCH]
    done = [job for job in of_task if job.state == ActivationState.COMPLETE]
    bad = [job for job in of_task if job.state == ActivationState.ERROR]
    yield from _counter(
        "cortex_batch_succeeded", "Batches that succeeded.", {_of(job): job.succeeded for job in of_batch}
    )
    yield from _counter(
        "cortex_batch_failed", "Attempts at batches that failed.", {_of(job): job.failed for job in of_batch}
    )
    yield from _times("cortex_time_per_batch", "Seconds of the attempts that succeeded.", _batch_times(of_batch))
    yield from _counter(
        "cortex_task_succeeded", "Jobs of Task APIs that succeeded.", {_of(job): int(job in done) for job in of_task}
    )
    yield from _counter(
        "cortex_task_failed", "Jobs of Task APIs that failed.", {_of(job): int(job in bad) for job in of_task}
    )
    yield from _times("cortex_time_per_task", "Seconds of the jobs that succeeded.", _task_times(done))


def _batch_times(found: Sequence[Measured]) -> dict[str, tuple[int, float]]:
    return {_of(job): (job.succeeded, job.seconds) for job in found}


def _task_times(found: Sequence[Measured]) -> dict[str, tuple[int, float]]:
    return {_of(job): (1, (job.ended_at or job.started_at) - job.started_at) for job in found}


def _of(job: Measured) -> str:
    return f'api_name="{job.api_name}",job_id="{job.activation_id}"'  # neither can have a quote in it


def _counter(name: str, meaning: str, samples: dict[str, int]) -> Iterator[str]:
    if samples:
        yield f"# HELP {name} {meaning}"
        yield f"# TYPE {name} counter"
    for labels, value in samples.items():
        yield f"{name}{{{labels}}} {value}"


def _times(name: str, meaning: str, samples: dict[str, tuple[int, float]]) -> Iterator[str]:
    """Yield a histogram with one bucket: the store keeps count and sum."""
    if samples:
        yield f"# HELP {name} {meaning}"
        yield f"# TYPE {name} histogram"
    for labels, (count, seconds) in samples.items():
        yield f'{name}_bucket{{{labels},le="+Inf"}} {count}'
        yield f"{name}_sum{{{labels}}} {seconds!r}"
        yield f"{name}_count{{{labels}}} {count}"

"""Jobs and their batches as answers show them, with the names of all versions of Cortex Labs (docs/reference/jobs.md)."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from fabric_jobs.apis import BATCH
from fabric_jobs.documents.api_skill import ITEMS
from fabric_jobs.engine import job_status, workers
from fabric_jobs.engine.job_document import job_document, timestamp
from fabric_jobs.engine.job_status import may_wait, newer_counts, status_of, worker_counts
from fabric_jobs.gateway import notes
from fabric_jobs.gateway.parts import Parts
from fabric_jobs.gateway.report import progress
from fabric_jobs.jobs import BatchCounts, BatchRow, Job
from fabric_jobs.records import Activation, SavedDefinition
from fabric_jobs.states import Verdict
from fabric_jobs.store import activations, batches, channels, definitions, jobs, queue_letters, tasks
from fabric_jobs.store.activations import RunFilter
from fabric_jobs.store.queue_letters import JobQueue
from fabric_jobs.store.sql import Sql

CODES = (
    *job_status.LIVE,
    job_status.SUCCEEDED,
    job_status.COMPLETED_WITH_FAILURES,
    job_status.UNEXPECTED_ERROR,
    *(verdict.value for verdict in Verdict),
)  # Cortex Labs' `unknown` is never answered: what is stored is known
MOST_WORKERS = 10_000  # that are counted


class JobFacts(NamedTuple):
    """What is stored about a job."""

    job: Job
    saved: SavedDefinition  # the version of the API that it runs
    activation: Activation
    counts: BatchCounts
    items: int  # so far
    total: int  # batches, so far
    workers: dict[str, int]  # how many are in which state; empty at the end
    queue: JobQueue | None = None  # that dead batches go to; None: it names none, or no batch is dead

    @property
    def status(self) -> str:
        """One of the codes of a job's status."""
        return status_of(self.job, self.activation, self.counts, self.workers)


def facts_of(parts: Parts, job: Job) -> JobFacts:
    """Return what is stored about a job, and which of its workers still wait for their place. Reads much about each worker."""
    sql = parts.store.read
    activation = activations.find(sql, job.activation_id)
    if (
        activation is not None and activation.ended
    ):  # the verdict may have come after `job` was read, but not after this
        job = jobs.find(sql, job.activation_id) or job
    saved = definitions.find(sql, job.project_id, "skill", job.api_name, job.api_version)
    assert activation is not None, "its row refers to it"
    assert saved is not None, "versions stay"
    node = f"{job.api_name}.{ITEMS}"
    inbound = channels.inbound(sql, job.activation_id, node) if job.kind == BATCH else []
    return JobFacts(
        job=job,
        saved=saved,
        activation=activation,
        counts=batches.counts_of(sql, job.activation_id, node),
        items=sum(channel.next_offset for channel in inbound),
        total=workers.batch_count(inbound, job.batch_size),
        workers={} if activation.ended else _workers(parts, job),
        queue=queue_letters.of_job(sql, job.activation_id) if job.queue_arn else None,
    )


def job_json(facts: JobFacts) -> dict[str, Any]:
    """Return a job with its status, as `job_status` of Cortex Labs, and what is ours besides."""
    job, activation = facts.job, facts.activation
    found = {**job_document(job, facts.saved), "status": facts.status}
    if activation.ended_at is not None:
        found["end_time"] = timestamp(activation.ended_at)
    if job.kind == BATCH:
        found |= _of_batches(facts)
    if facts.workers:
        found["worker_counts"] = {**facts.workers, **newer_counts(facts.workers)}
    found |= {"username": activation.username, "executor": activation.executor}
    if activation.cause:
        found["reason"] = activation.cause
    if activation.error and activation.error.get("lastLines"):
        found["last_lines"] = activation.error["lastLines"]
    if activation.retry_of:
        found["retry_of"] = activation.retry_of
    return found


def with_note(parts: Parts, facts: JobFacts) -> dict[str, Any]:
    """Return a job as `job_json` does, with what it is waiting for."""
    found = job_json(facts)
    if facts.activation.ended:
        return found
    noted = [node["note"] for node in progress(parts, facts.activation) if node["note"]]
    return {**found, "note": noted[0]} if noted else found


def metrics_json(counts: BatchCounts) -> dict[str, Any]:
    """Return the metrics of a job: both names of the average, which only counts what succeeded."""
    average = counts.seconds / counts.succeeded if counts.succeeded else None
    return {
        "succeeded": counts.succeeded,
        "failed": counts.failed,
        "average_time_per_batch": average,
        "avg_time_per_batch": average,
    }


def batch_json(sql: Sql, job: Job, row: BatchRow) -> dict[str, Any]:
    """Return a batch that deviates."""
    task = tasks.find(sql, row.task_id)
    return {
        "batch_id": batches.batch_id(job.activation_id, row.channel_id, row.first_offset),
        "first": row.first_offset,
        "count": row.next_offset - row.first_offset,
        "state": row.state,
        "attempts": row.attempts,
        "lost": row.lost,
        "error": row.error,
        "worker": task.name if task is not None else "",
        "seconds": row.seconds,
        "end_time": timestamp(row.ended_at),
    }


def _of_batches(facts: JobFacts) -> dict[str, Any]:
    job, counts = facts.job, facts.counts
    left = 0 if facts.activation.ended else max(0, facts.total - counts.succeeded - counts.dead)
    found: dict[str, Any] = {
        "batch_size": job.batch_size,
        "batches_in_queue": left,
        "total_batch_count": facts.total,
        "batch_metrics": metrics_json(counts),
        "items": facts.items,
        "enqueued": job.position is None,
        "batches_dead": counts.dead,
    }
    if facts.queue is not None:
        found["queued_batches"] = _queued(facts.queue)
    if counts.completed:
        found["on_job_complete"] = counts.completed
    return found


def _queued(queue: JobQueue) -> dict[str, Any]:
    counted = {"waiting": queue.waiting, "sent": queue.sent, "refused": queue.refused}
    return {**counted, "error": queue.failure, "given_up": bool(queue.given_up)}


def _workers(parts: Parts, job: Job) -> dict[str, int]:
    sql = parts.store.read
    wanted = RunFilter(project_id=job.project_id, activation_id=job.activation_id, limit=MOST_WORKERS)
    found, ready = tasks.listed(sql, wanted), batches.ready_workers(sql, job.activation_id)
    may = (task for task in found if may_wait(task, ready))
    waiting = {task.task_id: since for task in may if (since := notes.waits_since(parts, task)) is not None}
    if job.kind != BATCH:  # the worker of a task does not say when it is ready
        ready = {task.task_id: (task.attempt, 0.0) for task in found if task.task_id not in waiting}
    return worker_counts(found, ready, waiting, time.time())

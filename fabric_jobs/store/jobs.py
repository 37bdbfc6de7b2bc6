"""Jobs of Batch and Task APIs: the part of an activation that only they have (docs/howto/batch-and-task-apis.md)."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from fabric_jobs.jobs import Job
from fabric_jobs.store.channels import Sender, append, end, inbound
from fabric_jobs.store.sent import Sent
from fabric_jobs.store.sql import Sql
from fabric_jobs.store.writer import Tx


def create(tx: Tx, job: Job) -> None:
    """Insert the job of an activation that the same transaction creates."""
    values: dict[str, Any] = {key: getattr(job, key) for key in Job._fields if key != "verdict"}
    tx.run("insert_job", **{**values, "config": json.dumps(dict(job.config)), "source": json.dumps(dict(job.source))})


def find(sql: Sql, activation_id: str) -> Job | None:
    """Return a job; None when there is none of that id, or the activation is no job."""
    row = sql.one("job", activation_id=activation_id)
    return None if row is None else Job.from_row(row)


def is_job(sql: Sql, activation_id: str) -> bool:
    """Return whether an activation is a job."""
    return sql.one("job_timing", activation_id=activation_id) is not None


def due_at(sql: Sql, activation_id: str) -> float | None:
    """Return when a job times out, in seconds since 1970; None: never, or it is no job. Its configuration is not read."""
    row = sql.one("job_timing", activation_id=activation_id)
    return None if row is None or row["timeout"] is None else row["submitted_at"] + row["timeout"]


class JobFilter(NamedTuple):
    """Which jobs to list; None takes all."""

    project_id: str
    api_name: str | None = None
    is_live: bool | None = None  # whether it has not ended
    after: str = ""  # the id of the last one of the page before
    limit: int = 20


def listed(sql: Sql, wanted: JobFilter) -> list[Job]:
    """Return the jobs that match a filter, the newest first."""
    way = "jobs" if wanted.api_name is None else "jobs_of_api"
    return [Job.from_row(row) for row in sql.all(way, **wanted._asdict())]


class Measured(NamedTuple):
    """What is counted of a job."""

    api_name: str
    activation_id: str
    kind: str  # BatchAPI | TaskAPI
    state: str  # of its activation
    started_at: float
    ended_at: float | None
    succeeded: int  # batches
    failed: int  # attempts
    seconds: float  # of the attempts that succeeded


def measured(sql: Sql, since: float) -> list[Measured]:
    """Return the counts of the jobs that have not ended, or not before a time in seconds since 1970."""
    return [Measured(*(row[key] for key in Measured._fields)) for row in sql.all("measured_jobs", since=since)]


def enumerating(sql: Sql) -> list[Job]:
    """Return the jobs that still get items."""
    return [Job.from_row(row) for row in sql.all("enumerating_jobs")]


def live(sql: Sql, project_id: str, api_name: str) -> list[Job]:
    """Return the jobs of an API that have not ended, newest first."""
    return [Job.from_row(row) for row in sql.all("live_jobs", project_id=project_id, api_name=api_name)]


def live_counts(sql: Sql, project_id: str) -> dict[str, int]:
    """Return how many jobs of each API have not ended."""
    return {row["api_name"]: row["count"] for row in sql.all("live_job_counts", project_id=project_id)}


def add_items(tx: Tx, job: Job, node: str, sender: Sender, items: Sent | None, position: str | None) -> bool:
    """Append items and note where the enumerator goes on, or, with None, end the input of `node`.

    Returns False, and does nothing, when the job is not where `job` says.
    """
    if not tx.run("move_enumerator", activation_id=job.activation_id, position=position, seen=job.position):
        return False
    if items is not None:
        append(tx, sender, items)
    if position is None:
        for channel in inbound(tx, job.activation_id, node):
            end(tx, channel.channel_id)
    tx.effects.look.add(job.activation_id)
    return True

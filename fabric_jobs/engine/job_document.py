"""A job as its programs and its callers see it (docs/reference/jobs.md). Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from fabric_jobs.apis import BATCH
from fabric_jobs.jobs import Job, new_id
from fabric_jobs.records import SavedDefinition


def job_document(job: Job, saved: SavedDefinition, *, total_batch_count: int | None = None) -> dict[str, Any]:
    """Return a job with the fields of its submission, as in `job.json`; those that were not given are null."""
    at = timestamp(job.submitted_at)
    found: dict[str, Any] = {
        "job_id": job.activation_id,
        "api_name": job.api_name,
        "kind": job.kind,
        "workers": job.workers,
        "config": dict(job.config) or None,
        "timeout": job.timeout,
        "api_id": api_id(saved),
        "start_time": at,
        "created_time": at,
    }
    if job.kind == BATCH:
        queue = {"arn": job.queue_arn, "max_receive_count": job.max_receive_count} if job.queue_arn else None
        found |= {"sqs_dead_letter_queue": queue, "sqs_url": "", "total_batch_count": total_batch_count}
    else:
        found |= {"spec_id": saved.hash[:32], "pod_id": saved.hash[:32]}
    return found


def timestamp(at: float) -> str:
    """Return a time as RFC 3339 text in UTC. `at` is in seconds since 1970."""
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


def api_id(saved: SavedDefinition) -> str:
    """Return the id of a version of an API: 16 hexadecimal digits of its time, and 32 of its hash."""
    return f"{new_id(int(saved.saved_at * 1e9))}--{saved.hash[:32]}"

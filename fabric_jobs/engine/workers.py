"""What the engine and the gateway both ask about the workers of an API (docs/explanation/batches.md). Mostly pure."""

from __future__ import annotations

from collections.abc import Iterable

from fabric_jobs.jobs import BatchCounts
from fabric_jobs.records import Channel, Task
from fabric_jobs.routing import Node
from fabric_jobs.store import batches, jobs
from fabric_jobs.store.batches import Rules
from fabric_jobs.store.sql import Sql


def rules_of(sql: Sql, node: Node, activation_id: str) -> Rules:
    """Return how the batches of a node are handled. In a job a dead batch is a count; in an agent, an error."""
    assert node.action.batch is not None, "an API's workers handle batches"
    is_job = jobs.is_job(sql, activation_id)
    return Rules(
        size=node.action.batch.size,
        receive_count=int(node.properties.get("max_receive_count") or 1),
        on_error="complete" if is_job else "continue",
        whole=is_job,
    )


def is_drained(inbound: Iterable[Channel]) -> bool:
    """Return whether every record that a node can get is finished."""
    return all(channel.ended and channel.acked >= channel.next_offset for channel in inbound)


def is_over(sql: Sql, task: Task, inbound: Iterable[Channel]) -> bool:
    """Return whether a worker may end: no batch is left, and it does not owe the call of on-job-complete."""
    counts = batches.counts_of(sql, str(task.activation_id), task.node)
    return is_drained(inbound) and (counts.completing != task.task_id or bool(counts.completed))


def batch_count(inbound: Iterable[Channel], size: int) -> int:
    """Return how many batches the records make that are there so far."""
    return sum(-(-channel.next_offset // size) for channel in inbound)


def summary(counts: BatchCounts, inbound: list[Channel], size: int) -> dict[str, int]:
    """Return the counts that a worker passes on to on-job-complete."""
    return {
        "succeeded": counts.succeeded,
        "failed": counts.failed,
        "dead": counts.dead,
        "total": batch_count(inbound, size),
        "items": sum(channel.next_offset for channel in inbound),
    }

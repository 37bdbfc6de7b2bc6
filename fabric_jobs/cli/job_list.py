"""`fabric-jobs jobs list`, `get`, `batches`, `deadletters`, `logs` and `stop`."""

from __future__ import annotations

from typing import Any

import click

from fabric_jobs.cli import options
from fabric_jobs.cli.logs import log_options, print_activation
from fabric_jobs.cli.terminal.printing import show, show_rows

STATUSES = (
    "pending",
    "enqueuing",
    "running",
    "enqueue_failed",
    "completed_with_failures",
    "succeeded",
    "unexpected_error",
    "worker_error",
    "worker_oom",
    "timed_out",
    "stopped",
)
COLUMNS = {
    "JOB": "job_id",
    "API": "api_name",
    "STATUS": "status",
    "WORKERS": "workers",
    "BATCHES": "batches",
    "FAILED": "failed",
    "SUBMITTED": "start",
    "ENDED": "end",
}
BATCH_COLUMNS = {
    "BATCH": "batch_id",
    "ITEMS": "items",
    "STATE": "state",
    "ATTEMPTS": "attempts",
    "LOST": "lost",
    "WORKER": "worker",
    "SECONDS": "seconds",
    "ENDED": "end",
    "ERROR": "error",
}
LETTER_COLUMNS = {
    "ID": "id",
    "ITEM": "item",
    "BATCH": "batch",
    "ATTEMPTS": "attempts",
    "SINCE": "at",
    "RETRIED AS": "retriedAs",
    "CAUSE": "cause",
}


@click.command("list")
@click.option("--api", metavar="NAME", help="Only of this API.")
@click.option("--status", type=click.Choice(STATUSES), help="Only with this status.")
@options.limit
@options.output
@options.at_gateway
def list_jobs(api: str | None, status: str | None, limit: int, output: str) -> None:
    """List jobs, the newest first.

    \b
    Examples:
      fabric-jobs jobs list
      fabric-jobs jobs list --api score-delays --status completed_with_failures
    """
    from fabric_jobs.client import jobs

    found, has_more = jobs.list_jobs(options.gateway(), api=api, status=status, limit=limit)
    rows = [_cells(job) for job in found] if output == "table" else found
    show_rows(rows, COLUMNS, output, empty="There are no such jobs." if api or status else "There are no jobs.")
    if has_more:
        click.echo("There are more: add --limit, or a filter.", err=True)


@click.command()
@click.argument("job")
@options.output
@options.at_gateway
def get(job: str, output: str) -> None:
    """Show JOB: its status, its batches and its workers. The first characters of its id are enough.

    \b
    Examples:
      fabric-jobs jobs get 6f2c41d0a1b2c3d4
      fabric-jobs jobs get 6f2c --output json
    """
    from fabric_jobs.client.jobs import find_job

    found = find_job(options.gateway(), job)
    show(found, "yaml" if output == "table" else output)


@click.command()
@click.argument("job")
@click.option("--state", type=click.Choice(["waiting", "succeeded", "dead"]), help="Only in this state.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="At most this many.")
@options.output
@options.at_gateway
def batches(job: str, state: str | None, limit: int, output: str) -> None:
    """List the batches of JOB that failed, or whose worker died. All others have succeeded, or wait for a worker.

    \b
    Examples:
      fabric-jobs jobs batches 6f2c41d0a1b2c3d4
      fabric-jobs jobs batches 6f2c --state dead --output json
    """
    from fabric_jobs.client.jobs import batches_of

    found, has_more = batches_of(options.gateway(), job, state=state, limit=limit)
    rows = [_batch_cells(batch) for batch in found] if output == "table" else found
    show_rows(rows, BATCH_COLUMNS, output, empty="No batch has failed.")
    if has_more:
        click.echo("There are more: add --limit, or --state.", err=True)


@click.command()
@click.argument("job")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="At most this many.")
@options.output
@options.at_gateway
def deadletters(job: str, limit: int, output: str) -> None:
    """List the items of JOB whose batches were given up, the oldest first.

    \b
    Examples:
      fabric-jobs jobs deadletters 6f2c41d0a1b2c3d4
    """
    from fabric_jobs.client import dead_letters
    from fabric_jobs.client.jobs import whole_id

    gateway = options.gateway()
    job_id = whole_id(gateway, job)
    found, count = dead_letters.list_letters(gateway, dead_letters.Filter(activation=job_id), limit=limit)
    rows = found
    if output == "table":
        rows = [
            {**letter, "item": (letter["record"] or {}).get("offset"), "batch": _batch_of(letter)} for letter in found
        ]
    show_rows(rows, LETTER_COLUMNS, output, empty="The job has no dead letters.")
    if count > len(found):
        click.echo(f"{count - len(found):,} more: add --limit {min(count, 10_000)}.", err=True)
    elif any(letter["retriedAs"] is None for letter in found):
        click.echo(f"Next: {options.next_command('jobs', 'retry-failed', job_id)}", err=True)


@click.command()
@click.argument("job")
@click.option("--follow", "-f", is_flag=True, help="Continue until the job has ended.")
@log_options
def logs(job: str, **given: Any) -> None:
    """Print the logs of all workers of JOB by time, each line with the name of its API.

    stdout and stderr of the workers both go to stdout; --stream selects one. All attempts are included.

    \b
    Examples:
      fabric-jobs jobs logs 6f2c41d0a1b2c3d4
      fabric-jobs jobs logs 6f2c --follow --timestamps
    """
    from fabric_jobs.client.jobs import whole_id

    gateway = options.gateway()
    print_activation(gateway, whole_id(gateway, job), given)


@click.command()
@click.argument("job")
@options.at_gateway
def stop(job: str) -> None:
    """Stop JOB: its workers are asked to end, and killed after ten seconds.

    \b
    Examples:
      fabric-jobs jobs stop 6f2c41d0a1b2c3d4
    """
    from fabric_jobs.client import jobs

    gateway = options.gateway()
    job_id = jobs.whole_id(gateway, job)
    click.echo(jobs.stop(gateway, job_id))
    click.echo(f"Next: {options.next_command('jobs', 'get', job_id)}", err=True)


def _cells(job: dict[str, Any]) -> dict[str, Any]:
    """Return the cells of a job; one of a Task API has no batches."""
    from fabric_jobs.cli.terminal.job import done_of, milliseconds

    cells = {**job, "start": milliseconds(job["start_time"])}
    if "end_time" in job:
        cells["end"] = milliseconds(job["end_time"])
    if job["kind"] == "BatchAPI":
        more = "" if job["enqueued"] else "+"
        cells["batches"] = f"{done_of(job):,} of {job['total_batch_count'] or 0:,}{more}"
        cells["failed"] = job["batch_metrics"]["failed"]
    return cells


def _batch_cells(batch: dict[str, Any]) -> dict[str, Any]:
    from fabric_jobs.cli.terminal.job import milliseconds

    last = batch["first"] + batch["count"] - 1
    cells = {"items": f"{batch['first']} to {last}", "seconds": f"{batch['seconds']:.3f}"}
    return {**batch, **cells, "end": milliseconds(batch["end_time"])}


def _batch_of(letter: dict[str, Any]) -> str | None:
    batch = (letter.get("error") or {}).get("batch") or {}
    return batch.get("id")

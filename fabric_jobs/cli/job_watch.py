"""`fabric-jobs jobs watch` and `retry-failed`, and what `submit --watch` shares with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from fabric_jobs.cli import options
from fabric_jobs.cli.second_thoughts import tell, unless_interrupted
from fabric_jobs.cli.terminal.printing import show
from fabric_jobs.counts import counted

if TYPE_CHECKING:
    from fabric_jobs.client.gateway import Gateway

PATIENCE_SECONDS = 30.0  # between two looks at a job that is being stopped; events arrive sooner


@click.command()
@click.argument("job")
@options.quiet
@options.output
@options.at_gateway
def watch(job: str, quiet: bool, output: str) -> None:
    """Follow JOB until it has ended; exits with 1 unless it has succeeded.

    Ctrl-C stops watching; the job keeps running.

    \b
    Examples:
      fabric-jobs jobs watch 6f2c41d0a1b2c3d4
      fabric-jobs jobs watch 6f2c --quiet --output json
    """
    from fabric_jobs.client.jobs import whole_id

    gateway = options.gateway()
    print_end(gateway, attend(gateway, whole_id(gateway, job), quiet=quiet), output)


@click.command("retry-failed")
@click.argument("job")
@click.option("--watch", "is_watched", is_flag=True, help="Follow the new job until it has ended.")
@options.quiet
@options.output
@options.at_gateway
def retry_failed(job: str, is_watched: bool, quiet: bool, output: str) -> None:
    """Make a new job of the dead batches of JOB, with its configuration, and print the id of the new job.

    An item that was edited goes in as it is now. Each dead batch can be retried once.

    \b
    Examples:
      fabric-jobs jobs retry-failed 6f2c41d0a1b2c3d4 --watch
    """
    from fabric_jobs.client import jobs

    gateway = options.gateway()
    answer = jobs.retry_failed(gateway, jobs.whole_id(gateway, job))
    if answer["left"]:
        click.echo(f"{counted(answer['items'], 'item')} this time; {answer['left']:,} more are left.", err=True)
    print_begun(gateway, answer["job"]["job_id"], is_watched=is_watched, quiet=quiet, output=output)


def print_begun(gateway: Gateway, job_id: str, *, is_watched: bool, quiet: bool, output: str) -> None:
    """Print a job that has just begun, and with `is_watched` follow it; Ctrl-C then stops it."""
    from fabric_jobs.client.jobs import find_job

    if output == "table":
        click.echo(job_id)
    elif not is_watched:
        show(find_job(gateway, job_id), output)
    if not is_watched:
        click.echo(f"Next: {options.next_command('jobs', 'watch', job_id)}", err=True)
        return
    try:
        ended = attend(gateway, job_id, quiet=quiet)
    except KeyboardInterrupt:
        _stop(gateway, job_id)
        raise
    print_end(gateway, ended, output)


def attend(gateway: Gateway, job_id: str, *, quiet: bool) -> dict[str, Any]:
    """Follow a job with progress; return it once it has ended."""
    from fabric_jobs.cli.terminal.display import Display
    from fabric_jobs.cli.terminal.job import JobProgress
    from fabric_jobs.client.jobs import follow

    with Display(quiet=quiet) as display:
        return follow(gateway, job_id, JobProgress(display).update)


def print_end(gateway: Gateway, job: dict[str, Any], output: str) -> None:
    """Print how a job ended, on stderr, and with --output json or yaml the job; raise RunFailed unless it succeeded."""
    from fabric_jobs.cli.terminal.job import took
    from fabric_jobs.client.jobs import check_ended_well, what_became
    from fabric_jobs.errors import RunFailed

    if output != "table":
        show(job, output)
    try:
        check_ended_well(gateway, job)
    except RunFailed as error:
        error.hint = options.placed(error.hint)
        raise
    what = what_became(job)
    click.echo(f"job {job['job_id']} succeeded{took(job)}{f': {what}' if what else ''}", err=True)
    following = ("activations", "response") if what else ("jobs", "logs")
    click.echo(f"Next: {options.next_command(*following, job['job_id'])}", err=True)


def _stop(gateway: Gateway, job_id: str) -> None:
    from fabric_jobs.client import jobs

    with unless_interrupted("Stopping", "jobs", "watch", job_id):
        jobs.stop(gateway, job_id)
        status = jobs.follow(gateway, job_id, lambda job: PATIENCE_SECONDS)["status"]
    tell(f"Job {job_id} is stopped." if status == "stopped" else f"Job {job_id} had ended before: {status}.")

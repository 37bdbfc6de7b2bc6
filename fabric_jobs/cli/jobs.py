"""`fabric-jobs jobs …`: the Batch and Task APIs that jobs are submitted to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fabric_jobs import sizes
from fabric_jobs.cli import options
from fabric_jobs.cli.groups import Group
from fabric_jobs.cli.job_list import batches, deadletters, get, list_jobs, logs, stop
from fabric_jobs.cli.job_submit import submit
from fabric_jobs.cli.job_watch import retry_failed, watch
from fabric_jobs.cli.terminal.printing import can_ask, show, show_rows
from fabric_jobs.counts import counted

if TYPE_CHECKING:
    from fabric_jobs.runtime.cortex_command.files import ProjectFiles

COLUMNS = {
    "API": "name",
    "KIND": "kind",
    "VERSION": "version",
    "RUNNING": "running",
    "UPDATED": "updatedAt",
    "URL": "url",
}


@click.group("jobs", cls=Group)
def group() -> None:
    """Deploy Batch and Task APIs, and submit, follow and stop their jobs."""


@group.command()
@click.argument("file", default="cortex.yaml", type=click.Path(path_type=Path), metavar="[FILE]")
@options.output
@options.at_gateway
def deploy(file: Path, output: str) -> None:
    """Deploy the APIs in FILE (default: cortex.yaml), with the files beside it.

    All files below the directory of FILE are sent, except FILE itself, names that begin with a dot, Python bytecode, and what
    .cortexignore names (as in .gitignore); .env is sent. All APIs of FILE are deployed, or none. Jobs that run keep the
    version that they were submitted with.

    \b
    Examples:
      fabric-jobs jobs deploy
      fabric-jobs jobs deploy classifier/cortex.yaml
      fabric-jobs jobs deploy cortex.yaml --url https://jobs.example.org --token "$TOKEN"
    """
    from fabric_jobs.client import apis
    from fabric_jobs.client.project_files import collected
    from fabric_jobs.settings import project_bytes

    for warning in apis.check(file):
        click.echo(str(warning), err=True)
    files = collected(file, project_bytes())
    _say_sent(files)
    rows = apis.deploy(options.gateway(), file, files)
    if output == "table":
        for row in rows:
            click.echo(f"{row['message']}: {row['url']}")
    else:
        show(rows, output)
    click.echo(f"Next: {options.next_command('jobs', 'show', rows[0]['name'])}", err=True)


@group.command("apis")
@options.output
@options.at_gateway
def list_apis(output: str) -> None:
    """List the deployed APIs by name.

    \b
    Examples:
      fabric-jobs jobs apis
      fabric-jobs jobs apis --output json
    """
    from fabric_jobs.client import apis

    found = apis.listed(options.gateway())
    following = options.next_command("jobs", "deploy", "cortex.yaml")
    show_rows(found, COLUMNS, output, empty=f"There are no APIs. Next: {following}")


@group.command("show")
@click.argument("api")
@options.output
@options.at_gateway
def show_api(api: str, output: str) -> None:
    """Show API: its address, its specification and its versions.

    \b
    Examples:
      fabric-jobs jobs show classifier
      fabric-jobs jobs show classifier --output json
    """
    from fabric_jobs.client import apis

    found = apis.find(options.gateway(), api)
    show(found, "yaml" if output == "table" else output)


@group.command()
@click.argument("api")
@click.option("--yes", "-y", is_flag=True, help="Do not ask, though jobs of it are running.")
@options.at_gateway
def delete(api: str, yes: bool) -> None:
    """Delete API, and stop its jobs. What is known of its jobs stays.

    \b
    Examples:
      fabric-jobs jobs delete classifier
      fabric-jobs jobs delete classifier --yes
    """
    from fabric_jobs.client import apis

    gateway = options.gateway()
    running = int(apis.find(gateway, api)["running"])
    if running and not yes:
        question = f"This stops {counted(running, 'job')} of '{api}'"
        if not can_ask():
            raise click.UsageError(f"{question}. Add --yes to do it.")
        click.confirm(f"{question}. Delete it?", abort=True, err=True)
    click.echo(apis.delete(gateway, api))
    click.echo(f"Next: {options.next_command('jobs', 'apis')}", err=True)


def _say_sent(files: ProjectFiles) -> None:
    for name in files.skipped:
        click.echo(f"{name} is left out: it is neither a file nor a directory.", err=True)
    if files.files:
        click.echo(f"Sending {counted(len(files.files), 'file')}, {sizes.spelled(files.size)}.", err=True)


for command in (submit, list_jobs, get, watch, stop, logs, batches, deadletters, retry_failed):
    group.add_command(command)

"""`fabric-jobs agents create-snapshot`, `list-snapshots`, `describe-snapshot` and `delete-snapshot`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fabric_jobs.cli import options
from fabric_jobs.cli.describing import save_here, show_description
from fabric_jobs.cli.terminal.printing import show, show_rows

if TYPE_CHECKING:
    from fabric_jobs.client.gateway import Gateway

COLUMNS = {
    "SNAPSHOT": "snapshotId",
    "TITLE": "title",
    "VERSION": "agentVersion",
    "MADE": "createdAt",
    "BY": "createdBy",
}


@click.command("create-snapshot")
@click.argument("agent")
@click.option("--title", default="", metavar="TEXT", help="What the snapshot is for.")
@options.output
@options.workspace
@options.state_dir
def create(agent: str, title: str, output: str, workspace: Path | None, state_dir: Path | None) -> None:
    """Freeze AGENT and its skills as they are now, and print the id of the snapshot.

    The definitions are frozen, and the images of the skills. Files of skills that run as processes are not copied.

    \b
    Examples:
      fabric-jobs agents create-snapshot flights --title "before the new threshold"
      fabric-jobs agents invoke $(fabric-jobs agents create-snapshot flights) --snapshot --payload '{}'
    """
    from fabric_jobs.client.snapshots import create_snapshot

    gateway = _gateway(workspace, state_dir)
    made = create_snapshot(gateway, save_here(gateway, workspace, "agent", agent), title)
    if output == "table":
        click.echo(made["snapshotId"])
    else:
        show(made, output)
    following = options.next_command("agents", "invoke", made["snapshotId"], "--snapshot", "--payload", "JSON")
    click.echo(f"Next: {following}", err=True)


@click.command("list-snapshots")
@click.argument("agent")
@options.output
@options.at_gateway
def list_them(agent: str, output: str) -> None:
    """List the snapshots of AGENT, the newest first.

    \b
    Examples:
      fabric-jobs agents list-snapshots flights
    """
    from fabric_jobs.client.snapshots import list_snapshots

    found = list_snapshots(options.gateway(), agent)
    following = options.next_command("agents", "create-snapshot", agent)
    show_rows(found, COLUMNS, output, empty=f"There are no snapshots of it. Next: {following}")


@click.command("describe-snapshot")
@click.argument("snapshot")
@options.description
@click.option("--deps", is_flag=True, help="With the documents of its skills.")
@options.at_gateway
def describe(snapshot: str, output: str, deps: bool) -> None:
    """Print SNAPSHOT: the document of its agent, what would run on Kubernetes, or how it is invoked.

    \b
    Examples:
      fabric-jobs agents describe-snapshot 0123456789abcdef01234567 --deps
    """
    from fabric_jobs.client.snapshots import snapshot_path

    show_description(options.gateway(), snapshot_path(snapshot), output, deps="true" if deps else None)


@click.command("delete-snapshot")
@click.argument("snapshot")
@options.at_gateway
def delete(snapshot: str) -> None:
    """Delete SNAPSHOT. Activations that it started go on.

    \b
    Examples:
      fabric-jobs agents delete-snapshot 0123456789abcdef01234567
    """
    from fabric_jobs.client.snapshots import delete_snapshot

    click.echo(delete_snapshot(options.gateway(), snapshot))


def _gateway(workspace: Path | None, state_dir: Path | None) -> Gateway:
    options.check_workspace()
    return options.gateway_at(workspace, state_dir)


commands = (create, list_them, describe, delete)

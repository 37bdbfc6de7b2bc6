"""`fabric-jobs profiles …`."""

from __future__ import annotations

import sys

import click

from fabric_jobs.cli import options
from fabric_jobs.cli.groups import Group
from fabric_jobs.cli.terminal.printing import show_rows


@click.group("profiles", cls=Group)
def group() -> None:
    """Keep the addresses of remote gateways, for `--profile`."""


@group.command("list")
@options.output
def list_profiles(output: str) -> None:
    """List the profiles; tokens are not shown.

    \b
    Examples:
      fabric-jobs profiles list
    """
    from fabric_jobs.client.profiles import read_profiles

    found = sorted(read_profiles().items())
    rows = [{"name": name, "url": remote.url, "project": remote.project_id} for name, remote in found]
    empty = "There are no profiles. Next: fabric-jobs profiles set NAME --url URL --token TOKEN"
    show_rows(rows, {"NAME": "name", "URL": "url", "PROJECT": "project"}, output, empty=empty)


@group.command("set")
@click.argument("name")
@click.option(
    "--url", required=True, metavar="URL", help="The address of the gateway, such as https://jobs.example.org."
)
@click.option(
    "--token",
    envvar="FABRIC_JOBS_TOKEN",
    metavar="TOKEN",
    help="Its token; - reads it from standard input, so that it appears in no list of processes.",
)
@click.option("--project", default="local", show_default=True, metavar="NAME", help="The project there.")
def set_profile(name: str, url: str, token: str | None, project: str) -> None:
    """Save a gateway under NAME, or replace it.

    \b
    Examples:
      fabric-jobs profiles set lab --url https://jobs.example.org --token - < token
    """
    from fabric_jobs.client.profiles import profiles_file, read_profiles, write_profiles
    from fabric_jobs.client.remote import Remote

    if token == "-":
        token = sys.stdin.read().strip()
    remote = Remote(url=url, token=token or "", project_id=project)
    remote.check()
    write_profiles({**read_profiles(), name: remote})
    click.echo(f"Profile '{name}' is in {profiles_file()}.", err=True)
    click.echo(f"Next: fabric-jobs activations list --profile {name}", err=True)


@group.command("remove")
@click.argument("name")
def remove_profile(name: str) -> None:
    """Remove the gateway NAME.

    \b
    Examples:
      fabric-jobs profiles remove lab
    """
    from fabric_jobs.client.profiles import find_profile, read_profiles, write_profiles

    find_profile(name)
    write_profiles({key: remote for key, remote in read_profiles().items() if key != name})
    click.echo(f"Profile '{name}' is removed.", err=True)

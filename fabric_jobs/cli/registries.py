"""`fabric-jobs workspaces registry …`."""

from __future__ import annotations

import sys

import click

from fabric_jobs.cli import options
from fabric_jobs.cli.groups import Group
from fabric_jobs.cli.terminal.printing import can_ask, show_rows

CREDENTIALS = {True: "yes", False: "no", None: "cannot tell"}
EMPTY = "There are no registries. Next: fabric-jobs workspaces registry add NAME --url HOST[:PORT]"


@click.group("registry", cls=Group)
def group() -> None:
    """Keep the registries that images are pushed to; build and publish use the active one."""


@group.command("add")
@click.argument("name")
@click.option(
    "--url",
    required=True,
    metavar="HOST[:PORT][/PATH]",
    help="The address of the registry, such as registry.example.org or localhost:5000.",
)
@click.option(
    "--namespace", default="", metavar="NAMESPACE", help="The part of an image name between registry and image."
)
@click.option("--username", metavar="USER", help="Log in as this user; docker keeps the login in its credential store.")
@click.option(
    "--password-stdin",
    is_flag=True,
    help="Read the password from standard input; without it, it is asked for, on a terminal only.",
)
def add_registry(name: str, url: str, namespace: str, username: str | None, password_stdin: bool) -> None:
    """Add a registry under NAME; the first one becomes active.

    With --username, docker logs in there first; if that fails, nothing is added. Without it, docker's existing logins
    are used. A registry can be added again, for example with a new password.

    \b
    Examples:
      fabric-jobs workspaces registry add local --url localhost:5000 --namespace flights
      fabric-jobs workspaces registry add lab --url registry.example.org --username me --password-stdin < password
    """
    from fabric_jobs.images import registries
    from fabric_jobs.images.login import log_in

    if password_stdin and not username:
        raise click.UsageError("--password-stdin needs --username.")
    registry = registries.new_registry(name, url, namespace)
    registries.check_addable(registry)
    if username is not None:
        for remark in log_in(registry, username, _password(username, from_stdin=password_stdin)):
            click.echo(remark, err=True)
    is_active = registries.add(registry)
    click.echo(
        f"Registry '{name}' is in {registries.registries_file()}{', and active' if is_active else ''}.", err=True
    )
    next_command = "build" if is_active else f"registry activate {name}"
    click.echo(f"Next: fabric-jobs workspaces {next_command}", err=True)


@group.command("list")
@options.output
def list_registries(output: str) -> None:
    """List the registries, and tell whether docker has credentials for them.

    \b
    Examples:
      fabric-jobs workspaces registry list
    """
    from fabric_jobs.docker.credentials import has_credentials
    from fabric_jobs.images.registries import read_registries

    found = read_registries()
    rows = [
        {
            "name": name,
            "url": registry.url,
            "namespace": registry.namespace,
            "active": name == found.active,
            "credentials": has_credentials(registry.host),
        }
        for name, registry in sorted(found.known.items())
    ]
    table = [
        {**row, "active": "*" if row["active"] else "", "credentials": CREDENTIALS[row["credentials"]]}  # type: ignore[index]
        for row in rows
    ]
    columns = {"ACTIVE": "active", "NAME": "name", "URL": "url", "NAMESPACE": "namespace", "CREDENTIALS": "credentials"}
    show_rows(rows if output != "table" else table, columns, output, empty=EMPTY)


@group.command()
@click.argument("name")
def activate(name: str) -> None:
    """Make NAME the active registry, whose address new image names begin with.

    \b
    Examples:
      fabric-jobs workspaces registry activate lab
    """
    from fabric_jobs.images import registries

    registry = registries.activate(name)
    click.echo(f"Registry '{name}' ({registry.url}) is active.", err=True)
    click.echo("Next: fabric-jobs workspaces build", err=True)


@group.command("remove")
@click.argument("name")
def remove_registry(name: str) -> None:
    """Remove the registry NAME. docker keeps its login, and the registry its images.

    \b
    Examples:
      fabric-jobs workspaces registry remove lab
    """
    from fabric_jobs.images import registries

    was_active = registries.remove(name)
    click.echo(f"Registry '{name}' is removed.", err=True)
    if was_active:
        click.echo("It was the active one, so none is active now, and images are named without a registry.", err=True)
        left = sorted(registries.read_registries().known)
        next_command = f"activate {left[0]}" if left else "add NAME --url HOST[:PORT]"
        click.echo(f"Next: fabric-jobs workspaces registry {next_command}", err=True)


def _password(username: str, *, from_stdin: bool) -> str:
    """Return the password; it is never an argument, because process lists show arguments."""
    if from_stdin:
        return _read_password()
    if not can_ask():
        raise click.UsageError("--username needs --password-stdin without a terminal.")
    password: str = click.prompt(f"Password of {username}", hide_input=True, err=True)
    return password


def _read_password() -> str:
    from fabric_jobs.errors import InvalidInput

    try:
        return sys.stdin.buffer.read().decode().rstrip("\r\n") if sys.stdin is not None else ""
    except UnicodeDecodeError as error:
        raise InvalidInput("the password is not valid UTF-8.", hint="Pipe in only the password.") from error

"""`fabric-jobs secrets …`."""

from __future__ import annotations

import sys

import click

from fabric_jobs.cli import options
from fabric_jobs.cli.groups import Group
from fabric_jobs.cli.terminal.printing import can_ask, show_rows
from fabric_jobs.client import secrets
from fabric_jobs.counts import counted

READ_BYTES = 1 << 20  # of standard input, at most; the gateway takes less


@click.group("secrets", cls=Group)
def group() -> None:
    """Set, list and delete secrets. A property with the value #SECURE.NAME gets the secret NAME."""


@group.command("list")
@options.output
@options.at_gateway
def list_secrets(output: str) -> None:
    """List the names of the secrets; no command prints a value.

    \b
    Examples:
      fabric-jobs secrets list
    """
    found = secrets.list_secrets(options.gateway())
    empty = f"There are no secrets. Next: {options.next_command('secrets', 'set', 'NAME')}"
    show_rows(found, {"SECRET": "name", "UPDATED": "updatedAt"}, output, empty=empty)


@group.command("set")
@click.argument("name")
@options.at_gateway
def set_secret(name: str) -> None:
    """Set secret NAME to a text that you type, or to standard input without its last line break.

    The value is never an argument, since other users of the machine can see those.

    \b
    Examples:
      fabric-jobs secrets set database/password
      fabric-jobs secrets set api-key < key.txt
    """
    value = _typed(name) if can_ask() else _piped()
    if not value:
        raise click.UsageError("The value is empty. Type it, or pipe it to standard input.")
    said = secrets.set_secret(options.gateway(), name, value)
    click.echo(f"{said} Properties refer to it as '#SECURE.{name}'.", err=True)
    click.echo(f"Next: {options.next_command('secrets', 'list')}", err=True)


@group.command("delete")
@click.argument("names", nargs=-1, required=True)
@options.at_gateway
def delete_secret(names: tuple[str, ...]) -> None:
    """Delete the secrets NAMES for good.

    \b
    Examples:
      fabric-jobs secrets delete api-key
    """
    gateway = options.gateway()
    for name in names:
        click.echo(secrets.delete_secret(gateway, name), err=True)
    click.echo(f"Next: {options.next_command('secrets', 'list')}", err=True)


@group.command("rotate-key")
@options.at_gateway
def rotate_key() -> None:
    """Replace the key that seals the secrets; their values stay.

    \b
    Examples:
      fabric-jobs secrets rotate-key
    """
    count = secrets.rotate_key(options.gateway())
    click.echo(
        f"{counted(count, 'secret', 'has', 'have')} a new key; copies of the old one open nothing here.", err=True
    )
    click.echo(f"Next: {options.next_command('secrets', 'list')}", err=True)


def _typed(name: str) -> str:
    return str(click.prompt(f"Value of '{name}'", hide_input=True, confirmation_prompt=True, err=True))


def _piped() -> str:
    """Return standard input without its last line break; raise UsageError if it is not text."""
    if sys.stdin is None:
        return ""
    try:
        text = sys.stdin.buffer.read(READ_BYTES).decode()
    except UnicodeDecodeError as error:
        raise click.UsageError("The value is not text in UTF-8. Encode it first, for example in base64.") from error
    return text.removesuffix("\n").removesuffix("\r")

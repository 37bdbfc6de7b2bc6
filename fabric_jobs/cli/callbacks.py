"""`fabric-jobs callbacks …`."""

from __future__ import annotations

import click

from fabric_jobs.cli import options
from fabric_jobs.cli.groups import Group
from fabric_jobs.cli.terminal.printing import show_rows

COLUMNS = {
    "ACTIVATION": "activationId",
    "STATE": "state",
    "TRIES": "tries",
    "NEXT": "nextAt",
    "URL": "url",
    "ERROR": "error",
}


@click.group("callbacks", cls=Group)
def group() -> None:
    """List and retry callbacks that were not delivered, and show the key that signs them."""


@group.command("list")
@options.limit
@options.output
@options.at_gateway
def list_callbacks(limit: int, output: str) -> None:
    """List callbacks that were not delivered, with the error of the last try.

    \b
    Examples:
      fabric-jobs callbacks list
    """
    found = options.gateway().get("/callbacks", limit=limit)["callbacks"]
    show_rows(found, COLUMNS, output, empty="Every callback was delivered.")
    stuck = next((item["activationId"] for item in found if item["state"] == "given up"), None)
    if stuck is not None:
        click.echo(f"Next: {options.next_command('callbacks', 'retry', stuck)}", err=True)


@group.command()
@click.argument("activation")
@options.at_gateway
def retry(activation: str) -> None:
    """Try the callback of ACTIVATION again at once.

    \b
    Examples:
      fabric-jobs callbacks retry 0123456789abcdef01234567
    """
    from fabric_jobs.client.gateway import segment

    click.echo(options.gateway().post(f"/callbacks/{segment(activation)}/retry")["message"])
    click.echo(f"Next: {options.next_command('callbacks', 'list')}", err=True)


@group.command()
@options.at_gateway
def key() -> None:
    """Print the key that signs the callbacks of the project. Keep it secret: who has it can sign callbacks.

    \b
    Examples:
      fabric-jobs callbacks key > callback.key
    """
    click.echo(options.gateway().get("/callbacks/key")["key"])

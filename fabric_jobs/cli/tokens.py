"""`fabric-jobs tokens …`."""

from __future__ import annotations

import math
import time
from pathlib import Path
from urllib.parse import urlsplit

import click

from fabric_jobs import durations
from fabric_jobs.cli import options
from fabric_jobs.cli.groups import Group
from fabric_jobs.cli.terminal.printing import show_rows

NEVER = "never"
COLUMNS = {"NAME": "name", "ROLE": "role", "EXPIRES": "expires", "CREATED": "createdAt", "BY": "createdBy"}


def _seconds(text: str) -> float:
    return math.inf if text == NEVER else durations.seconds_of(text)


def _address(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"'{text}' is not the address of a gateway, such as https://jobs.example.org.")
    return text


project = click.option("--project", metavar="NAME", help="The project.  [default: that of the gateway, which is local]")


@click.group("tokens", cls=Group)
def group() -> None:
    """Make, list and revoke personal tokens, with which other people and programs call the gateway."""


@group.command("create")
@click.argument("name")
@project
@click.option(
    "--role",
    type=click.Choice(["read", "run", "admin"]),
    default="run",
    show_default=True,
    help="read looks; run also invokes, and uses content and secrets; admin also changes definitions, secrets and tokens.",
)
@click.option(
    "--expires",
    default="90d",
    show_default=True,
    help="How long it is good, such as 90d; or never.",
    **options.typed("DURATION", _seconds),
)
@click.option(
    "--file", type=click.Path(path_type=Path), metavar="FILE", help="Write it to a new file that only you can read."
)
@click.option(
    "--address",
    **options.typed("URL", _address),
    help="The address in the file, where its user reaches the gateway.  [default: the one that this command uses]",
)
@options.at_gateway
def create(name: str, project: str | None, role: str, expires: float, file: Path | None, address: str | None) -> None:
    """Make a personal token for NAME, a person or a program, and print its token file, in Fabric's form.

    The file is a private key: whoever has it may call as NAME. The gateway keeps only the public half, so it cannot be
    printed again. `--profile FILE` takes it, and so do Fabric's clients.

    \b
    Examples:
      fabric-jobs tokens create nightly --file nightly.json
      fabric-jobs tokens create anna@example.org --role admin --expires 30d > anna.json
      fabric-jobs tokens create anna --address https://jobs.example.org --file anna.json
      fabric-jobs tokens create dashboard --project lab --role read --expires never --file dashboard.json
    """
    from fabric_jobs.client.access import create_token

    seconds = None if math.isinf(expires) else expires
    made, token = create_token(options.gateway(project), name, role, seconds, file, address or "")
    if file is None:
        click.echo(made.text, nl=False)
    until = _until(token["expiresAt"])
    click.echo(f"Token '{name}' has the role {role} in project '{made.project_id}' {until}.", err=True)
    if file is not None:
        click.echo(f"It is in {file}. While `fabric-jobs serve` runs, it is good at {made.url}.", err=True)
        click.echo(f"Next: fabric-jobs activations list --profile {file}", err=True)


@group.command("list")
@project
@options.output
@options.at_gateway
def list_tokens(project: str | None, output: str) -> None:
    """List the personal tokens of a project, expired ones too.

    \b
    Examples:
      fabric-jobs tokens list
      fabric-jobs tokens list --project lab --output json
    """
    from fabric_jobs.client import access

    found = access.list_tokens(options.gateway(project))
    rows = [{**token, "expires": _when(token["expiresAt"])} for token in found]
    empty = f"There are no personal tokens. Next: {options.next_command('tokens', 'create', 'NAME')}"
    show_rows(found if output != "table" else rows, COLUMNS, output, empty=empty)


@group.command("revoke")
@click.argument("names", nargs=-1, required=True, metavar="NAME…")
@project
@options.at_gateway
def revoke(names: tuple[str, ...], project: str | None) -> None:
    """Revoke the personal tokens NAME…, at once.

    \b
    Examples:
      fabric-jobs tokens revoke nightly
    """
    from fabric_jobs.client.access import revoke_token

    gateway = options.gateway(project)
    for name in names:
        revoke_token(gateway, name)
        click.echo(f"Token '{name}' is revoked.", err=True)


def _until(expires_at: int | None) -> str:
    return f"until {_when(expires_at)}" if expires_at is not None else "and never expires"


def _when(expires_at: int | None) -> str:
    if expires_at is None:
        return NEVER
    text = time.strftime("%Y-%m-%d %H:%M", time.localtime(expires_at / 1000))
    return text if expires_at / 1000 > time.time() else f"{text} (expired)"

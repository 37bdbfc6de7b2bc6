"""What `skills invoke --dry-run` and `agents invoke --dry-run` print."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fabric_jobs.cli import options
from fabric_jobs.cli.terminal.printing import show
from fabric_jobs.counts import counted
from fabric_jobs.errors import FabricJobsError, RunFailed

if TYPE_CHECKING:
    from fabric_jobs.workspace.run import EntryPoint
    from fabric_jobs.workspace.target import Choice


def check_options(given: dict[str, Any]) -> None:
    """Raise UsageError for options that do not fit a dry run."""
    if given["executor"] != "kubernetes":
        raise click.UsageError("--dry-run shows what would run in a cluster; add --executor kubernetes.")
    for option in ("save", "detach", "snapshot"):
        if given.get(option):
            raise click.UsageError(f"--{option} has no effect with --dry-run; remove one of them.")
    options.check_workspace()


def show_dry_run(choice: Choice, kind: str, name: str, entry: str | None, given: dict[str, Any]) -> None:
    """Print the objects that an invocation would create in a cluster, and what the cluster says of them.

    Raises RunFailed if the cluster rejects an object, and what the invocation would raise, such as for an image that was not
    built.
    """
    from fabric_jobs.client.gateway import segment
    from fabric_jobs.workspace.payload import sample_of

    gateway = choice.gateway
    target, lack = _target(choice, kind, name, entry)
    cold = "true" if given["cold"] else None
    found = gateway.get(f"/{kind}s/{segment(target.name)}/deploy", dryrun="true", check="true", cold=cold)
    objects = {key: found[key] for key in ("apiVersion", "kind", "items")}
    show(objects, "json" if given["output"] == "json" else "yaml")
    _tell(found)
    click.echo("Nothing was created: this was a dry run.", err=True)
    refused = [each for each in found["verdicts"] if each["accepted"] is False]
    if lack is not None:
        raise lack
    if refused:
        raise RunFailed(f"the cluster does not take {counted(len(refused), 'object')}; see above.")
    root = options.root_of(given["workspace"]) if gateway.is_local else Path()
    words = [target.name, *([entry] if entry else []), "--executor", "kubernetes", *(["--cold"] if cold else [])]
    click.echo(
        f"Next: {options.next_command(f'{kind}s', 'invoke', *words, *sample_of(root, kind, target.name))}", err=True
    )


def _target(choice: Choice, kind: str, name: str, entry: str | None) -> tuple[EntryPoint, FabricJobsError | None]:
    """Save what would be invoked. Return it, and why it could not be invoked: an image is missing, or cannot be looked for."""
    from fabric_jobs.workspace.run import LOCAL

    try:
        return choice.target(kind, name, entry), None
    except FabricJobsError as error:
        lack = error
    # Raises the same again, unless an image is missing.
    return replace(choice, executor=LOCAL).target(kind, name, entry), lack


def _tell(found: dict[str, Any]) -> None:
    """Print to stderr what the cluster says of each object."""
    if found["unreachable"]:
        click.echo(f"No cluster was asked: {found['unreachable']}", err=True)
    else:
        click.echo(f"What the cluster says ({found['cluster']}):", err=True)
    for each in found["verdicts"]:
        said = each["message"] or "ok"
        mark = "NO: " if each["accepted"] is False else ""
        click.echo(f"  {each['kind']} {each['name']}: {mark}{said}", err=True)
    unchecked = [each for each in found["verdicts"] if each["accepted"] is None]
    if unchecked:
        click.echo(f"{counted(len(unchecked), 'object')} could not be checked, and may still be refused.", err=True)

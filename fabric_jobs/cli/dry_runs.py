"""What `skills invoke --dry-run` and `agents invoke --dry-run` print."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fabric_jobs.cli import options
from fabric_jobs.cli.describing import save_here
from fabric_jobs.cli.terminal.printing import show
from fabric_jobs.counts import counted
from fabric_jobs.errors import RunFailed


def show_dry_run(kind: str, name: str, given: dict[str, Any]) -> None:
    """Print the objects that an invocation would create in a cluster, and what the cluster says of them.

    Raises UsageError for options that do not fit, and RunFailed if the cluster rejects an object.
    """
    from fabric_jobs.client.gateway import segment
    from fabric_jobs.workspace.payload import sample_of

    if given["executor"] != "kubernetes":
        raise click.UsageError("--dry-run shows what would run in a cluster; add --executor kubernetes.")
    for option in ("save", "detach", "snapshot"):
        if given.get(option):
            raise click.UsageError(f"--{option} has no effect with --dry-run; remove one of them.")
    options.check_workspace()
    gateway = options.gateway_at(given["workspace"], given["state_dir"])
    name = save_here(gateway, given["workspace"], kind, name)
    found = gateway.get(f"/{kind}s/{segment(name)}/deploy", dryrun="true", check="true")
    objects = {key: found[key] for key in ("apiVersion", "kind", "items")}
    show(objects, "json" if given["output"] == "json" else "yaml")
    _tell(found)
    click.echo("Nothing was created: this was a dry run.", err=True)
    refused = [each for each in found["verdicts"] if not each["accepted"]]
    if refused:
        raise RunFailed(f"the cluster does not take {counted(len(refused), 'object')}; see above.")
    root = options.root_of(given["workspace"]) if gateway.is_local else Path()
    words = ("--executor", "kubernetes", *sample_of(root, kind, name))
    click.echo(f"Next: {options.next_command(f'{kind}s', 'invoke', name, *words)}", err=True)


def _tell(found: dict[str, Any]) -> None:
    """Print to stderr what the cluster says of each object."""
    if found["unreachable"]:
        click.echo(f"No cluster was asked: {found['unreachable']}", err=True)
    else:
        click.echo(f"What the cluster says ({found['cluster']}):", err=True)
    for each in found["verdicts"]:
        said = each["message"] or "ok"
        mark = "" if each["accepted"] else "NO: "
        click.echo(f"  {each['kind']} {each['name']}: {mark}{said}", err=True)

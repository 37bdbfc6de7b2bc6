"""`fabric-jobs environments …`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from fabric_jobs import sizes
from fabric_jobs.cli import options
from fabric_jobs.cli.groups import Group
from fabric_jobs.cli.terminal.printing import show_rows
from fabric_jobs.counts import counted

if TYPE_CHECKING:
    from fabric_jobs.executors.environments import Cached

COLUMNS = {
    "ENVIRONMENT": "key",
    "PYTHON": "python",
    "STATE": "state",
    "SIZE": "size",
    "USED": "usedAt",
    "REQUIREMENTS": "requirements",
}


@click.group("environments", cls=Group)
def group() -> None:
    """List and remove the Python environments that the requirements.txt of skills asked for.

    They are kept for all workspaces of a user, one for each Python and what is asked of it, and are made when a skill runs.
    """


@group.command("list")
@options.output
def list_environments(output: str) -> None:
    """List the environments, the most recently used first.

    STATE is complete, in use, building, or incomplete: building it was interrupted, and it is built again when needed.

    \b
    Examples:
      fabric-jobs environments list
      fabric-jobs environments list --output json
    """
    from fabric_jobs.executors.environments import listed

    rows = [_row(cached) for cached in listed()]
    show_rows(rows, COLUMNS, output, empty="There are no environments: no skill with packages has run.")


@group.command()
@click.option(
    "--older-than",
    **options.DURATION,
    default="30d",
    show_default=True,
    help="Not used for this time, such as 12h or 30d.",
)
@click.option("--all", "everything", is_flag=True, help="All of them, however old.")
@options.output
def prune(older_than: float, everything: bool, output: str) -> None:
    """Remove environments that have not been used for a while, and those that were never finished.

    An environment that a running job uses, or that is being built, stays. If a skill needs a removed one, it is built
    again.

    \b
    Examples:
      fabric-jobs environments prune
      fabric-jobs environments prune --older-than 12h
      fabric-jobs environments prune --all
    """
    from fabric_jobs.executors.environments import prune as remove

    removed = remove(before=None if everything else time.time() - older_than)
    show_rows([_row(cached) for cached in removed], COLUMNS, output, empty="There is nothing to remove.")
    if removed:
        freed = sizes.spelled(sum(cached.size for cached in removed))
        click.echo(
            f"Removed {counted(len(removed), 'environment')}, {freed}.\nNext: fabric-jobs environments list", err=True
        )


def _row(cached: Cached) -> dict[str, Any]:
    return {
        "key": cached.key,
        "python": cached.python,
        "state": cached.state,
        "size": cached.size,
        "usedAt": round(cached.used_at * 1000),
        "requirements": cached.requirements,
    }

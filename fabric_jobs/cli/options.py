"""Options that several commands share; each is declared once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from fabric_jobs.client.gateway import Gateway

F = TypeVar("F", bound=Callable[..., Any])

workspace = click.option(
    "--workspace",
    type=click.Path(path_type=Path),
    envvar="FABRIC_JOBS_WORKSPACE_ROOT",
    metavar="DIRECTORY",
    help="The workspace; without it the nearest directory upwards that holds skills/ or .fabric-jobs/.",
)
state_dir = click.option(
    "--state-dir",
    type=click.Path(path_type=Path),
    envvar="FABRIC_JOBS_STATE_DIR",
    metavar="DIRECTORY",
    help="Where the state is kept.  [default: .fabric-jobs in the workspace]",
)
output = click.option(
    "--output",
    "-o",
    type=click.Choice(["table", "json", "yaml"]),
    default="table",
    show_default=True,
    help="How to print the result.",
)
limit = click.option(
    "--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="At most this many."
)


def root_of(given: Path | None) -> Path:
    """Return the root of the workspace; raise NotFound when there is none."""
    from fabric_jobs.workspace.tree import find_root

    return find_root(Path.cwd(), given)


def state_dir_of(given: Path | None, root: Path) -> Path:
    """Return the state directory of a workspace."""
    return given.absolute() if given is not None else root / ".fabric-jobs"


def gateway_of(workspace_given: Path | None, state_given: Path | None) -> Gateway:
    """Return the gateway of a workspace; its owner is started when there is none."""
    from fabric_jobs.client.gateway import Gateway

    if state_given is not None:
        return Gateway(state_given.absolute())
    return Gateway(state_dir_of(None, root_of(workspace_given)))

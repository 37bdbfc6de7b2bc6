"""What `skills describe` and `agents describe` share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fabric_jobs.cli import options
from fabric_jobs.cli.terminal.printing import show

if TYPE_CHECKING:
    from fabric_jobs.client.gateway import Gateway

describe_options = options.stack(options.description, options.workspace, options.state_dir)


def describe(kind: str, name: str, given: dict[str, Any]) -> None:
    """Print a definition: of the workspace as its files are now, or as a remote gateway has it."""
    from fabric_jobs.client.gateway import segment

    options.check_workspace()
    gateway = options.gateway_at(given["workspace"], given["state_dir"])
    name = save_here(gateway, given["workspace"], kind, name)
    show_description(gateway, f"/{kind}s/{segment(name)}", given["output"])


def save_here(gateway: Gateway, workspace: Path | None, kind: str, name: str) -> str:
    """Save a definition of the workspace at an owner on this machine, and return its name; a remote gateway has its own."""
    if not gateway.is_local:
        return name
    from fabric_jobs.workspace.run import save_as_it_is
    from fabric_jobs.workspace.tree import Workspace

    return save_as_it_is(gateway, Workspace(options.root_of(workspace)), kind, name)


def show_description(gateway: Gateway, path: str, output: str, **query: str | None) -> None:
    """Print what a path of a gateway describes, in one of the formats of `options.description`."""
    found = gateway.get(path, output="json" if output == "yaml" else output, **query)
    show(found, "yaml" if output in ("yaml", "k8s") else "json")

"""What `skills describe` and `agents describe` share."""

from __future__ import annotations

from typing import Any

import click

from fabric_jobs.cli import options
from fabric_jobs.cli.terminal.printing import show

describe_options = options.stack(
    click.option(
        "--output",
        "-o",
        type=click.Choice(["yaml", "json", "k8s", "openapi"]),
        default="yaml",
        show_default=True,
        help="The document as YAML or JSON, what would run on Kubernetes, or how it is invoked.",
    ),
    options.workspace,
    options.state_dir,
)


def describe(kind: str, name: str, given: dict[str, Any]) -> None:
    """Print a definition: of the workspace as its files are now, or as a remote gateway has it."""
    from fabric_jobs.client.gateway import segment

    options.check_workspace()
    gateway = options.gateway_at(given["workspace"], given["state_dir"])
    if gateway.is_local:
        from fabric_jobs.workspace.run import save_as_it_is
        from fabric_jobs.workspace.tree import Workspace

        name = save_as_it_is(gateway, Workspace(options.root_of(given["workspace"])), kind, name)
    output = given["output"]
    asked = "json" if output == "yaml" else output
    found = gateway.get(f"/{kind}s/{segment(name)}", output=asked)
    show(found, "yaml" if output in ("yaml", "k8s") else "json")

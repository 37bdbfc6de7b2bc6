"""`fabric-jobs agents …`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fabric_jobs.cli import options
from fabric_jobs.cli.invoking import invocation_options, run, show_saved, workspace_names
from fabric_jobs.cli.printing import show_rows


@click.group("agents")
def group() -> None:
    """List the agents of a workspace, and invoke them."""


@group.command("list")
@options.output
@options.workspace
@options.remote
def list_agents(output: str, workspace: Path | None) -> None:
    """List the agents of the workspace, or those that a remote gateway has.

    \b
    Examples:
      fabric-jobs agents list
    """
    place = options.remote_given()
    if place is not None:
        show_saved(place, "agent", output)
        return
    rows = workspace_names(workspace, "agent")
    shown = [{**row, "services": ", ".join(row["ports"]), "problems": row["problems"] or None} for row in rows]
    columns = {"NAME": "name", "SERVICES": "services", "TITLE": "title", "FILE": "file", "PROBLEMS": "problems"}
    empty = "There are no agents here. Next: fabric-jobs workspaces generate-agent NAME SKILL…"
    show_rows(rows if output != "table" else shown, columns, output, empty=empty)


@group.command()
@click.argument("agent")
@click.argument("service", required=False)
@invocation_options
def invoke(agent: str, service: str | None, **given: Any) -> None:
    """Run AGENT with a message to SERVICE (its only one, when not named), and print the response.

    Every record that one skill sends reaches the next while it runs. Ctrl-C cancels the activation; a second one leaves
    it running.

    \b
    Examples:
      fabric-jobs agents invoke flights --payload '{"path": "data/2013-01.ndjson.gz"}'
      fabric-jobs agents invoke flights --params-file message.json --output json
      fabric-jobs agents invoke flights --params-file message.json --detach
    """
    run("agent", agent, service, given)

"""`fabric-jobs agents …`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fabric_jobs.cli import options
from fabric_jobs.cli.groups import Group
from fabric_jobs.cli.invoking import invocation_options, run, show_saved, workspace_names
from fabric_jobs.cli.printing import show_rows
from fabric_jobs.cli.testing import run_tests, test_options


@click.group("agents", cls=Group)
def group() -> None:
    """List the agents of a workspace, invoke and test them."""


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
    options.check_workspace()
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


@group.command("test")
@click.argument("agents", nargs=-1, metavar="[AGENT]...")
@test_options
def test_agents(agents: tuple[str, ...], **given: Any) -> None:
    """Run the messages of AGENTs (of all, when none is named), and compare each response with what is expected.

    The messages are agents/invoke/AGENT/SERVICE/message.json and agents/invoke/AGENT/SERVICE/CASE/message.json, where
    AGENT is the file's name without .yaml, and what is expected is in the expected.json beside each. The exit code is 1
    when one is not as expected. Ctrl-C cancels what is running.

    \b
    Examples:
      fabric-jobs agents test
      fabric-jobs agents test flights --update
      fabric-jobs agents test --junit report.xml
    """
    run_tests("agent", agents, given)

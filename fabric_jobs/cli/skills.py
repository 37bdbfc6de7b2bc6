"""`fabric-jobs skills …`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fabric_jobs.cli import options
from fabric_jobs.cli.invoking import invocation_options, run, show_saved, workspace_names
from fabric_jobs.cli.printing import show_rows


@click.group("skills")
def group() -> None:
    """List the skills of a workspace, and invoke them."""


@group.command("list")
@options.output
@options.workspace
@options.remote
def list_skills(output: str, workspace: Path | None) -> None:
    """List the skills of the workspace, or those that a remote gateway has.

    \b
    Examples:
      fabric-jobs skills list
      fabric-jobs skills list --output json
    """
    place = options.remote_given()
    if place is not None:
        show_saved(place, "skill", output)
        return
    rows = workspace_names(workspace, "skill")
    shown = [{**row, "inputs": ", ".join(row["ports"]), "problems": row["problems"] or None} for row in rows]
    columns = {"NAME": "name", "INPUTS": "inputs", "TITLE": "title", "FILE": "file", "PROBLEMS": "problems"}
    empty = "There are no skills here. Next: fabric-jobs workspaces generate NAME"
    show_rows(rows if output != "table" else shown, columns, output, empty=empty)


@group.command()
@click.argument("skill")
@click.argument("input_name", metavar="[INPUT]", required=False)
@invocation_options
def invoke(skill: str, input_name: str | None, **given: Any) -> None:
    """Run SKILL with a message to INPUT (its only input, when not named), and print the response.

    No server and no Docker are needed: a process in the background looks after the run, and ends some seconds after it.

    \b
    Examples:
      fabric-jobs skills invoke word-count --params-file skills/word-count/invoke/request/message.json
      fabric-jobs skills invoke word-count request --payload '{"text": "to be"}' --output json
      echo '{"payload": 1}' | fabric-jobs skills invoke word-count --params-file -
    """
    run("skill", skill, input_name, given)

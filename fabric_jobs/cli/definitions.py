"""`fabric-jobs skills …` and `fabric-jobs agents …`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fabric_jobs.cli import dev, options, snapshots
from fabric_jobs.cli.describing import describe, describe_options
from fabric_jobs.cli.groups import Group
from fabric_jobs.cli.invoking import invocation_options, run, show_saved, workspace_names
from fabric_jobs.cli.logs import skill_logs
from fabric_jobs.cli.terminal.printing import show_rows
from fabric_jobs.cli.testing import run_tests, test_options


@click.group("skills", cls=Group)
def skills() -> None:
    """List the skills of a workspace, invoke, develop and test them."""


@skills.command("list")
@options.output
@options.workspace
@options.remote
def list_skills(output: str, workspace: Path | None) -> None:
    """List the skills of the workspace, or of a remote gateway.

    \b
    Examples:
      fabric-jobs skills list
      fabric-jobs skills list --output json
    """
    _show_list("skill", "inputs", "fabric-jobs workspaces generate NAME", output, workspace)


@skills.command("describe")
@click.argument("skill")
@describe_options
def describe_skill(skill: str, **given: Any) -> None:
    """Print SKILL: its document, what of it would run on Kubernetes, or how it is invoked.

    \b
    Examples:
      fabric-jobs skills describe word-count
      fabric-jobs skills describe word-count --output k8s
      fabric-jobs skills describe word-count --output openapi > word-count.json
    """
    describe("skill", skill, given)


@skills.command("invoke")
@click.argument("skill")
@click.argument("input_name", metavar="[INPUT]", required=False)
@invocation_options
def invoke_skill(skill: str, input_name: str | None, **given: Any) -> None:
    """Run SKILL with a message to INPUT (default: its only input), and print the response.

    This needs no server and no Docker: a background process runs everything, and ends some seconds later.

    \b
    Examples:
      fabric-jobs skills invoke word-count --params-file skills/word-count/invoke/request/message.json
      fabric-jobs skills invoke word-count request --payload '{"text": "to be"}' --output json
      echo '{"payload": 1}' | fabric-jobs skills invoke word-count --params-file -
      fabric-jobs skills invoke word-count --executor kubernetes --dry-run
    """
    run("skill", skill, input_name, given)


skills.add_command(skill_logs)
skills.add_command(dev.command)


@skills.command("test")
@click.argument("skills", nargs=-1, metavar="[SKILL]...")
@test_options
def test_skills(skills: tuple[str, ...], **given: Any) -> None:
    """Run the test messages of SKILLs (default: all), and compare each response with the expected one.

    The messages are invoke/INPUT/message.json and invoke/INPUT/CASE/message.json of a skill, each with an expected.json
    next to it. Exits with 1 if a response is not as expected. Ctrl-C cancels the current run.

    \b
    Examples:
      fabric-jobs skills test
      fabric-jobs skills test word-count --update
      fabric-jobs skills test --junit report.xml
    """
    run_tests("skill", skills, given)


@click.group("agents", cls=Group)
def agents() -> None:
    """List the agents of a workspace, invoke and test them."""


@agents.command("list")
@options.output
@options.workspace
@options.remote
def list_agents(output: str, workspace: Path | None) -> None:
    """List the agents of the workspace, or of a remote gateway.

    \b
    Examples:
      fabric-jobs agents list
    """
    _show_list("agent", "services", "fabric-jobs workspaces generate-agent NAME SKILL…", output, workspace)


@agents.command("describe")
@click.argument("agent")
@describe_options
def describe_agent(agent: str, **given: Any) -> None:
    """Print AGENT: its document, what of its skills would run on Kubernetes, or how it is invoked.

    \b
    Examples:
      fabric-jobs agents describe flights
      fabric-jobs agents describe flights --output openapi
    """
    describe("agent", agent, given)


@agents.command("invoke")
@click.argument("agent")
@click.argument("service", required=False)
@click.option("--snapshot", is_flag=True, help="AGENT is the id of a snapshot, as `create-snapshot` printed it.")
@invocation_options
def invoke_agent(agent: str, service: str | None, **given: Any) -> None:
    """Run AGENT with a message to SERVICE (default: its only one), and print the response.

    Each record reaches the next skill while its sender is still running. Ctrl-C cancels the activation; a second one leaves
    it running.

    \b
    Examples:
      fabric-jobs agents invoke flights --payload '{"path": "data/2013-01.ndjson.gz"}'
      fabric-jobs agents invoke flights --params-file message.json --output json
      fabric-jobs agents invoke flights --params-file message.json --detach
      fabric-jobs agents invoke flights --executor kubernetes --dry-run > objects.yaml
    """
    run("agent", agent, service, given)


for command in snapshots.commands:
    agents.add_command(command)


@agents.command("test")
@click.argument("agents", nargs=-1, metavar="[AGENT]...")
@test_options
def test_agents(agents: tuple[str, ...], **given: Any) -> None:
    """Run the test messages of AGENTs (default: all), and compare each response with the expected one.

    The messages are agents/invoke/AGENT/SERVICE/message.json and agents/invoke/AGENT/SERVICE/CASE/message.json, where
    AGENT is the file's name without .yaml, each with an expected.json next to it. Exits with 1 if a response is not as
    expected. Ctrl-C cancels the current run.

    \b
    Examples:
      fabric-jobs agents test
      fabric-jobs agents test flights --update
      fabric-jobs agents test --junit report.xml
    """
    run_tests("agent", agents, given)


def _show_list(kind: str, ports: str, following: str, output: str, workspace: Path | None) -> None:
    """List the skills or the agents; `following` is the command that makes the first one."""
    options.check_workspace()
    place = options.remote_given()
    if place is not None:
        show_saved(place, kind, output)
        return
    rows = workspace_names(workspace, kind)
    shown = [{**row, ports: ", ".join(row["ports"]), "problems": row["problems"] or None} for row in rows]
    columns = {"NAME": "name", ports.upper(): ports, "TITLE": "title", "FILE": "file", "PROBLEMS": "problems"}
    empty = f"There are no {kind}s here. Next: {following}"
    show_rows(rows if output != "table" else shown, columns, output, empty=empty)

"""`fabric-jobs activations …`."""

from __future__ import annotations

import click

from fabric_jobs.cli import options
from fabric_jobs.cli.groups import Group
from fabric_jobs.cli.logs import activation_logs
from fabric_jobs.cli.terminal.printing import show, show_rows
from fabric_jobs.states import ActivationState

COLUMNS = {"ACTIVATION": "activationId", "NAME": "name", "STATUS": "status", "STARTED": "start", "CAUSE": "cause"}


@click.group("activations", cls=Group)
def group() -> None:
    """List, show, wait for and cancel invocations of skills and agents."""


@group.command("list")
@click.option("--status", type=click.Choice(list(ActivationState), case_sensitive=False), help="Only with this status.")
@click.option("--agent", metavar="NAME", help="Only of this agent.")
@click.option("--skill", metavar="NAME", help="Only of this skill, invoked by itself.")
@options.limit
@options.output
@options.at_gateway
def list_activations(
    status: str | None,
    agent: str | None,
    skill: str | None,
    limit: int,
    output: str,
) -> None:
    """List activations, the newest first.

    \b
    Examples:
      fabric-jobs activations list
      fabric-jobs activations list --status ERROR --output json
    """
    gateway = options.gateway()
    found = gateway.get("/activations", status=status, agentName=agent, skillName=skill, limit=limit)["activations"]
    rows = [{**row, "name": row.get("agentName") or row.get("skillName")} for row in found]
    show_rows(found if output != "table" else rows, COLUMNS, output, empty="There are no such activations.")


@group.command("show")
@click.argument("activation")
@options.output
@options.at_gateway
def show_activation(activation: str, output: str) -> None:
    """Show the record of ACTIVATION with its response, and how much its skills have received and sent.

    \b
    Examples:
      fabric-jobs activations show 4f1d2c…
    """
    from fabric_jobs.client.activations import progress_of
    from fabric_jobs.client.gateway import segment

    gateway = options.gateway()
    record = gateway.get(f"/activations/{segment(activation)}")
    if output != "table":
        show(record, output)
        return
    progress = progress_of(gateway, activation)
    show(record, "yaml")
    click.echo()
    columns = {"SKILL": "skill", "IN": "in", "OUT": "out", "WAITING": "waiting", "TASKS": "states"}
    rows = [
        {**node, "states": ", ".join(f"{count} {state}" for state, count in node["tasks"].items())} for node in progress
    ]
    show_rows(rows, columns, "table", empty="")


@group.command()
@click.argument("activation")
@options.quiet
@options.output
@options.at_gateway
def wait(activation: str, quiet: bool, output: str) -> None:
    """Wait for the end of ACTIVATION and print its response; exits with 1 unless it ended COMPLETE.

    Ctrl-C stops waiting; the activation keeps running.

    \b
    Examples:
      fabric-jobs activations wait $(fabric-jobs agents invoke flights --params-file m.json --detach)
    """
    from fabric_jobs.cli.invoking import print_result
    from fabric_jobs.cli.terminal.activation import Skills
    from fabric_jobs.cli.terminal.display import Display
    from fabric_jobs.client.activations import follow

    gateway = options.gateway()
    with Display(quiet=quiet) as display:
        record = follow(gateway, activation, Skills(display).update)
    print_result(record, output)


@group.command()
@click.argument("activation")
@options.at_gateway
def cancel(activation: str) -> None:
    """Cancel ACTIVATION: its tasks are asked to end, and killed after ten seconds.

    \b
    Examples:
      fabric-jobs activations cancel 4f1d2c…
    """
    from fabric_jobs.client.gateway import segment

    gateway = options.gateway()
    click.echo(gateway.post(f"/activations/{segment(activation)}/cancel")["message"])
    click.echo(f"Next: {options.next_command('activations', 'show', activation)}", err=True)


@group.command()
@click.argument("activation")
@click.option("--skip", type=click.IntRange(0), default=0, help="Skip this many records.")
@click.option("--limit", type=click.IntRange(1), default=None, help="At most this many records.")
@options.at_gateway
def response(activation: str, skip: int, limit: int | None) -> None:
    """Print the records of the response of ACTIVATION, one JSON value per line, however many there are.

    \b
    Examples:
      fabric-jobs activations response 4f1d2c… > records.ndjson
    """
    gateway = options.gateway()
    for part in gateway.response(activation, skip=skip, limit=limit):
        click.echo(part, nl=False)


group.add_command(activation_logs)

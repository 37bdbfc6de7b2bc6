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
    from fabric_jobs.client.activations import find_activation, progress_of

    gateway = options.gateway()
    record = find_activation(gateway, activation)
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
    from fabric_jobs.client.activations import follow, whole_id

    gateway = options.gateway()
    activation_id = whole_id(gateway, activation)  # another one may begin so meanwhile
    with Display(quiet=quiet) as display:
        record = follow(gateway, activation_id, Skills(display).update)
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
@click.option("--follow", "-f", is_flag=True, help="Continue until the activation has ended.")
@click.option("--skip", type=click.IntRange(0), default=0, help="Skip this many records.")
@click.option("--limit", type=click.IntRange(1), default=None, help="At most this many records.")
@options.at_gateway
def response(activation: str, follow: bool, skip: int, limit: int | None) -> None:
    """Print the records of the response of ACTIVATION, one JSON value per line, however many there are.

    With --follow, each record is printed as soon as it is there, and the command exits with 1 unless the activation ends
    COMPLETE. Ctrl-C stops following; the activation keeps running.

    \b
    Examples:
      fabric-jobs activations response 4f1d2c… > records.ndjson
      fabric-jobs activations response 4f1d2c… --follow | jq .total
    """
    from fabric_jobs.cli.invoking import check_result
    from fabric_jobs.client.activations import find_activation, whole_id
    from fabric_jobs.client.response import ResponseReader

    gateway = options.gateway()
    activation_id = whole_id(gateway, activation)  # another one may begin so meanwhile
    reader = ResponseReader(gateway, activation_id, skip=skip, limit=limit)
    for part in reader.parts(follow=follow):
        click.echo(part, nl=False)
    if reader.ended and follow:
        check_result(find_activation(gateway, activation_id))
    elif not reader.ended and limit is None:
        click.echo("The activation still runs, so there may be more.", err=True)
        click.echo(f"Next: {options.next_command('activations', 'response', activation_id, '--follow')}", err=True)


group.add_command(activation_logs)

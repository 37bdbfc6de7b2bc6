"""`fabric-jobs tasks …`."""

from __future__ import annotations

from typing import Any

import click

from fabric_jobs.cli import options
from fabric_jobs.cli.groups import Group
from fabric_jobs.cli.logs import attempt, log_options, print_task
from fabric_jobs.cli.terminal.printing import show, show_rows
from fabric_jobs.states import TaskState

COLUMNS = {
    "TASK": "name",
    "SKILL": "skillName",
    "STATE": "state",
    "ATTEMPT": "attempt",
    "EXIT": "exitCode",
    "SENT": "sent",
    "STARTED": "startTime",
    "CAUSE": "cause",
}
of_activation = click.option(
    "--activation", metavar="ID", help="Where TASK is a skill's name: its task in this activation."
)


@click.group("tasks", cls=Group)
def group() -> None:
    """List and show the tasks of activations, and print their logs."""


@group.command("list")
@click.option("--activation", metavar="ID", help="Only of this activation.")
@click.option("--skill", metavar="NAME", help="Only of this skill.")
@click.option("--state", type=click.Choice(list(TaskState), case_sensitive=False), help="Only in this state.")
@options.limit
@options.output
@options.at_gateway
def list_tasks(
    activation: str | None,
    skill: str | None,
    state: str | None,
    limit: int,
    output: str,
) -> None:
    """List tasks, the newest first.

    \b
    Examples:
      fabric-jobs tasks list
      fabric-jobs tasks list --activation 4f1d2c… --state FAILED
    """
    gateway = options.gateway()
    found = gateway.get("/tasks", activationId=activation, skillName=skill, state=state, limit=limit)["tasks"]
    noted = {"NOTE": "note"} if any(task.get("note") for task in found) else {}
    show_rows(found, {**COLUMNS, **noted}, output, empty="There are no such tasks.")


@group.command("show")
@click.argument("task")
@of_activation
@options.output
@options.at_gateway
def show_task(task: str, activation: str | None, output: str) -> None:
    """Show TASK with its attempts. TASK may be the name of a skill that has one task (in the activation).

    \b
    Examples:
      fabric-jobs tasks show score-delays
    """
    from fabric_jobs.client.tasks import find_task

    found = find_task(options.gateway(), task, activation)
    show(found, "yaml" if output == "table" else output)


@group.command("describe")
@click.argument("task")
@of_activation
@click.option("--k8s", is_flag=True, help="Print instead what would run on Kubernetes in its place.")
@options.output
@options.at_gateway
def describe_task(task: str, activation: str | None, k8s: bool, output: str) -> None:
    """Show TASK as `tasks show` does, or what would run on Kubernetes in its place.

    \b
    Examples:
      fabric-jobs tasks describe score-delays --k8s
    """
    from fabric_jobs.client.tasks import find_task, on_kubernetes

    gateway = options.gateway()
    found = find_task(gateway, task, activation)
    show(on_kubernetes(gateway, found) if k8s else found, "yaml" if output == "table" else output)


@group.command()
@click.argument("task")
@of_activation
@click.option("--follow", "-f", is_flag=True, help="Continue until the task has ended.")
@attempt
@log_options
def logs(task: str, activation: str | None, **given: Any) -> None:
    """Print the log of TASK: its stdout to stdout, its stderr to stderr.

    TASK may be the name of a skill that has one task (in the activation). If the skill has several, --follow takes the
    newest running one, else the newest.

    \b
    Examples:
      fabric-jobs tasks logs local-score-delays-score-delays-1f2e3d4c
      fabric-jobs tasks logs score-delays --activation 4f1d2c… --stream stderr --follow
      fabric-jobs tasks logs score-delays --since 10m --timestamps
    """
    from fabric_jobs.client.tasks import find_task

    gateway = options.gateway()
    print_task(gateway, find_task(gateway, task, activation, newest=given["follow"])["name"], given)


@group.command()
@click.argument("task")
@options.at_gateway
def cancel(task: str) -> None:
    """Cancel only TASK: it is asked to end, and killed after ten seconds. The rest of its activation continues.

    \b
    Examples:
      fabric-jobs tasks cancel local-score-delays-score-delays-1f2e3d4c
    """
    from fabric_jobs.client.gateway import segment

    gateway = options.gateway()
    click.echo(gateway.post(f"/tasks/{segment(task)}/cancel")["message"])
    click.echo(f"Next: {options.next_command('tasks', 'show', task)}", err=True)

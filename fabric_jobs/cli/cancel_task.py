"""`fabric-jobs tasks cancel`."""

from __future__ import annotations

from pathlib import Path

import click

from fabric_jobs.cli import options


@click.command("cancel")
@click.argument("task")
@options.workspace
@options.state_dir
def cancel(task: str, workspace: Path | None, state_dir: Path | None) -> None:
    """Cancel TASK alone: it is asked to end, and forced after ten seconds. The rest of its activation goes on.

    \b
    Examples:
      fabric-jobs tasks cancel local-score-delays-score-delays-1f2e3d4c
    """
    from fabric_jobs.client.gateway import segment

    gateway = options.gateway_of(workspace, state_dir)
    click.echo(gateway.post(f"/tasks/{segment(task)}/cancel")["message"])
    click.echo(f"Next: {options.next_command('tasks', 'show', task)}", err=True)

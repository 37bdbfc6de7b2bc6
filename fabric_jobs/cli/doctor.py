"""`fabric-jobs doctor`."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fabric_jobs.cli import options
from fabric_jobs.cli.terminal import exits
from fabric_jobs.cli.terminal.printing import echo, show
from fabric_jobs.counts import counted

if TYPE_CHECKING:
    from fabric_jobs.doctor import Finding, Scope

COLORS = {"ok": "green", "fixed": "green", "warning": "yellow", "problem": "red"}


@click.command("doctor")
@click.option("--fix", is_flag=True, help="Fix what can be fixed: permissions, and leftovers of killed processes.")
@click.option(
    "--pod-image",
    default="",
    metavar="IMAGE",
    help="Let a pod of this image, which has python3, try whether it reaches the gateway of this machine.",
)
@options.output
@options.workspace
@options.state_dir
@click.pass_context
def command(
    ctx: click.Context, fix: bool, pod_image: str, output: str, workspace: Path | None, state_dir: Path | None
) -> None:
    """Check Python, the installation, the state directory, its disk and its owner, Docker and Kubernetes.

    With --profile or --url it also checks whether that gateway answers, accepts the token and has this version. Each
    line is ok, a note, a warning or a problem, and says what to do. Nothing is started but the pod that you ask for,
    and without --fix nothing is changed. Exits with 5 if there is a problem.

    \b
    Examples:
      fabric-jobs doctor
      fabric-jobs doctor --fix
      fabric-jobs doctor --profile lab
      fabric-jobs doctor --pod-image python:3.12-slim
      fabric-jobs doctor --state-dir /var/lib/fabric-jobs --output json
    """
    from fabric_jobs.doctor import examine

    found = []
    for check, finding in examine(replace(_scope(workspace, state_dir, fix), pod_image=pod_image)):
        found.append({"check": check, **asdict(finding)})
        if output == "table":
            _print(check, finding)
    if output != "table":
        show(found, output)
    problems = sum(finding["level"] == "problem" for finding in found)
    warnings = sum(finding["level"] == "warning" for finding in found)
    click.echo(f"{counted(problems, 'problem')}, {counted(warnings, 'warning')}.", err=True)
    if problems:
        ctx.exit(exits.UNAVAILABLE)


def _scope(workspace: Path | None, state_dir: Path | None, fix: bool) -> Scope:
    from fabric_jobs.doctor import Scope
    from fabric_jobs.errors import NotFound

    try:
        root, missing = options.root_of(workspace), ""
    except NotFound as error:
        root, missing = None, error.message
    state = state_dir.absolute() if state_dir is not None else None
    if state is None and root is not None:
        state = options.state_dir_of(None, root)
    return Scope(workspace=root, state_dir=state, missing=missing, remote=options.remote_given(), fix=fix)


def _print(check: str, finding: Finding) -> None:
    level = click.style(f"{finding.level:8}", fg=COLORS.get(finding.level))
    echo(f"{level} {check:16} {finding.message}")
    if finding.hint:
        click.echo(f"{'':25} → {finding.hint}")

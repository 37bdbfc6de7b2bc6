"""`fabric-jobs workspaces build`."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from fabric_jobs.cli import options
from fabric_jobs.cli.terminal.printing import show_rows

if TYPE_CHECKING:
    from fabric_jobs.images.docker_command import Builder
    from fabric_jobs.workspace.build import BuildStatus, PlannedBuild

ARGUMENTS_VARIABLE = "FABRIC_JOBS_BUILD_ARGS"
NO_BASE = "[internal] load metadata for "  # the step that looks up a base image
COLUMNS = {"SKILL": "skill", "ACTION": "action", "IMAGE": "image", "STATE": "state", "SECONDS": "seconds"}


def _with_variable(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    """Add the typed values to the variable, which applies to every build; docker takes the last of two values."""
    if ctx.get_parameter_source(str(param.name)) is ParameterSource.COMMANDLINE:
        return (*os.environ.get(ARGUMENTS_VARIABLE, "").split(), *value)
    return value


@click.command("build")
@options.folder
@click.option("--skill", metavar="NAME", help="Only the images of this skill.")
@click.option(
    "--build-arg",
    "arguments",
    multiple=True,
    envvar=ARGUMENTS_VARIABLE,
    callback=_with_variable,
    metavar="NAME[=VALUE]",
    help="A value for an ARG of the Dockerfiles; NAME alone takes the value from the environment. May be repeated.",
)
@click.option("--platform", default="", metavar="OS/ARCH", help="Build for another platform, such as linux/arm64.")
@click.option("--no-cache", is_flag=True, help="Build every step of every image, even if unchanged.")
@click.option("--print", "print_only", is_flag=True, help="Print the docker commands, and do nothing else.")
@options.quiet
@options.output
def command(
    folder: Path | None,
    skill: str | None,
    arguments: tuple[str, ...],
    platform: str,
    no_cache: bool,
    print_only: bool,
    quiet: bool,
    output: str,
) -> None:
    """Build the Docker image of every action of the workspace FOLDER.

    FOLDER defaults to the nearest directory upwards that contains skills/ or .fabric-jobs/. An image is built from
    actions/ACTION/ of its skill, without what .dockerignore excludes, and tagged with a hash of these files and with
    `latest`. Images that the engine already has are not built again. Exits with 1 if one could not be built.

    If FABRIC_JOBS_KUBERNETES_LOAD is set, all images are then loaded into a cluster by this shell command, which gets
    their `docker save` archive as its input.

    \b
    Examples:
      fabric-jobs workspaces build
      fabric-jobs workspaces build flights-demo --skill read-flights
      fabric-jobs workspaces build --build-arg BASE_IMAGE=python:3.13-slim --platform linux/arm64
      fabric-jobs workspaces build --print
    """
    from fabric_jobs.images.docker_command import builder_beside

    builder = builder_beside()  # starts while we load and read
    from fabric_jobs.workspace.build import BuildOptions, plan

    given = BuildOptions(arguments=arguments, platform=platform, use_cache=not no_cache)
    targets = plan(options.root_of(folder), skill, given)
    if print_only:
        _print_commands(targets, builder)
        return
    rows = _build(targets, builder, quiet=quiet)
    _load(rows, quiet=quiet)
    show_rows([_shown(row, output) for row in rows], COLUMNS, output, empty="There is nothing to build: no action.")
    _conclude(rows, folder)


def build_workspace(root: Path, skill: str | None = None, *, executor: str, quiet: bool = False) -> None:
    """Build the missing images of a workspace, or of one skill, where they are to run. Raise RunFailed if one cannot be built."""
    from fabric_jobs.images.docker_command import builder_beside

    builder = builder_beside()
    from fabric_jobs.workspace.build import BuildOptions, plan

    arguments = tuple(os.environ.get(ARGUMENTS_VARIABLE, "").split())
    rows = _build(plan(root, skill, BuildOptions(arguments=arguments)), builder, quiet=quiet)
    _raise_failures(rows, root)
    if executor == "kubernetes":
        _load(rows, quiet=quiet)


def _load(rows: Sequence[BuildStatus], *, quiet: bool) -> None:
    """Load the images into a cluster, if the variable says how; nothing if one could not be built."""
    from fabric_jobs.images.loading import VARIABLE, load

    command = os.environ.get(VARIABLE, "").strip()
    if not command or not rows or any(row.state == "failed" for row in rows):
        return
    references = sorted({row.target.reference for row in rows})
    if not quiet:
        click.echo(f"Loading {len(references)} images into the cluster with '{command}' …", err=True)
    load(command, references)


def _build(targets: Sequence[PlannedBuild], builder: Callable[[], Builder], *, quiet: bool) -> tuple[BuildStatus, ...]:
    from fabric_jobs.cli.terminal.display import Display
    from fabric_jobs.cli.terminal.images import show_builds
    from fabric_jobs.workspace.build import carry_out

    with Display(quiet=quiet) as display:
        return carry_out(
            targets, builder, lambda rows: show_builds(display, rows), lambda text: display.say(f"Warning: {text}")
        )


def _print_commands(targets: Sequence[PlannedBuild], builder: Callable[[], Builder]) -> None:
    from fabric_jobs.errors import PlaceUnavailable
    from fabric_jobs.images.building import build_command
    from fabric_jobs.images.docker_command import USUAL

    try:
        found = builder()
    except PlaceUnavailable:
        found = USUAL  # they can be read, and run elsewhere
    for target in targets:
        variables = [f"{name}={shlex.quote(value)}" for name, value in found.environment.items()]
        click.echo(" ".join([*variables, shlex.join(build_command(target.build, found))]))


def _shown(row: BuildStatus, output: str) -> dict[str, Any]:
    """Return the printed columns of an image."""
    target = row.target
    shown: dict[str, Any] = {
        "skill": target.skill,
        "action": target.action,
        "image": target.reference,
        "state": row.state,
        "seconds": f"{row.seconds:.1f}" if output == "table" else round(row.seconds, 3),
    }
    return {**shown, "platform": target.build.platform} if target.build.platform else shown


def _conclude(rows: Sequence[BuildStatus], folder: Path | None) -> None:
    """Print what to do next; raise RunFailed if an image was not built."""
    _raise_failures(rows, folder)
    if rows:
        more = [] if folder is None else [str(folder)]
        click.echo(f"Next: {shlex.join(['fabric-jobs', 'workspaces', 'publish', *more])}", err=True)


def _raise_failures(rows: Sequence[BuildStatus], folder: Path | None) -> None:
    from fabric_jobs.cli.terminal.images import label
    from fabric_jobs.errors import RunFailed

    failed = [row for row in rows if row.state == "failed"]
    more = [] if folder is None else [str(folder)]
    if failed:
        words = ["fabric-jobs", "workspaces", "build", *more]
        words += ["--skill", failed[0].target.skill] if len({row.target.skill for row in failed}) == 1 else []
        base = " Another base image: --build-arg NAME=IMAGE, for an ARG that FROM uses."
        remark = base if any(row.failure.startswith(NO_BASE) for row in failed) else ""
        raise RunFailed(
            f"{len(failed)} of {len(rows)} images could not be built: {', '.join(label(row.target) for row in failed)}.",
            hint=f"See docker's output above. Fix it, and build again: {shlex.join(words)}{remark}",
        )

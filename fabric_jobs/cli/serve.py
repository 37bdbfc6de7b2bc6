"""`fabric-jobs serve`: the owner of a workspace in the foreground."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fabric_jobs.cli import options

if TYPE_CHECKING:
    from fabric_jobs.settings import Settings
    from fabric_jobs.state_dir import Address


def _slots(context: click.Context, parameter: click.Parameter, value: str | None) -> dict[str, int] | None:
    if value is None:
        return None
    from fabric_jobs.errors import InvalidInput
    from fabric_jobs.settings import slots_of

    try:
        return slots_of(value)
    except InvalidInput as error:
        raise click.BadParameter(f"{error.message} {error.hint}") from error


@click.command("serve")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65_535), help="The port; 0 is a free one.  [default: the one used before]"
)
@click.option(
    "--executor",
    type=click.Choice(["local", "docker", "kubernetes"]),
    default="local",
    show_default=True,
    help="The executor of invocations that name none: local, as processes; docker, kubernetes, from images.",
)
@click.option(
    "--advertise",
    metavar="URL",
    envvar="FABRIC_JOBS_ADVERTISE",
    help="The URL at which pods of a cluster, and containers of a Docker engine on another machine, reach this gateway, such as "
    "http://HOST:8420.",
)
@click.option(
    "--retain-days",
    type=click.FloatRange(0),
    metavar="DAYS",
    help="Every hour, delete what ended more than this many days ago.",
)
@click.option(
    "--retain-size",
    **options.SIZE,
    help="Every hour, delete the oldest activations if the state is larger, such as 10GB.",
)
@click.option(
    "--slots",
    metavar="PLACE=N",
    callback=_slots,
    help="How many tasks with one record run at a time in a place: such as local=8, or local=8,docker=32.  "
    "[default: two for each processor, in Docker four, on Kubernetes ten]",
)
@click.option(
    "--activations",
    type=click.IntRange(1),
    metavar="N",
    help="How many activations run at a time; the others wait in their order.  [default: 64]",
)
@click.option(
    "--open-apis",
    is_flag=True,
    envvar="FABRIC_JOBS_OPEN_APIS",
    help="Let everybody who reaches the gateway submit, see and stop jobs of Batch and Task APIs, without a token.",
)
@click.option("--until-idle", is_flag=True, help="End some seconds after the last client and the last activation.")
@options.workspace
@options.own_state_dir
def command(
    host: str,
    port: int | None,
    executor: str,
    advertise: str | None,
    retain_days: float | None,
    retain_size: int | None,
    slots: dict[str, int] | None,
    activations: int | None,
    open_apis: bool,
    until_idle: bool,
    workspace: Path | None,
    state_dir: Path | None,
) -> None:
    """Serve the workspace until Ctrl-C, for commands here and for other programs over HTTP.

    The skills and agents of the workspace are registered at the start, and changed ones at the next call. Jobs that are
    running when it ends continue; the next command or `serve` finds them. Without --retain-days and --retain-size
    everything is kept; they never delete what `state prune` keeps.

    \b
    Examples:
      fabric-jobs serve
      fabric-jobs serve --port 8420 --state-dir /var/lib/fabric-jobs
      fabric-jobs serve --executor docker
      fabric-jobs serve --retain-days 30 --retain-size 10GB
      fabric-jobs serve --slots local=8 --activations 200 --open-apis
      fabric-jobs serve --until-idle
    """
    from fabric_jobs.settings import Settings

    root = _root_of(workspace, is_needed=state_dir is None)
    directory = options.state_dir_of(state_dir, root or Path())
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.INFO)
    named = {"slots": slots, "activations": activations}  # if not given: the variables, or the defaults
    given: dict[str, Any] = {name: value for name, value in named.items() if value is not None}
    settings = Settings(
        state_dir=directory,
        workspace=root,
        host=host,
        port=port,
        executor=executor,
        advertise=advertise or "",
        open_apis=open_apis,
        until_idle=until_idle,
        retain_days=retain_days,
        retain_bytes=retain_size,
        **given,
    )
    _serve(settings)


def _root_of(workspace: Path | None, *, is_needed: bool) -> Path | None:
    """Return the root of the workspace; None if there is none and a named state directory suffices."""
    from fabric_jobs.errors import NotFound

    try:
        return options.root_of(workspace)
    except NotFound:
        if is_needed or workspace is not None:
            raise
        return None


def _serve(settings: Settings) -> None:
    """Be the owner; an idle one that a command has started gives way."""
    from fabric_jobs.client.owner import retire
    from fabric_jobs.errors import AlreadyExists
    from fabric_jobs.owner import run

    directory = settings.state_dir

    def ready(address: Address) -> None:
        click.echo(f"Serving {directory} at {address.url}; the token is in {directory / 'owner.json'}.", err=True)
        click.echo("Ctrl-C ends it; jobs keep running.", err=True)

    while True:
        try:
            run(settings, ready)
        except AlreadyExists:
            if not retire(directory):
                raise
        else:
            return

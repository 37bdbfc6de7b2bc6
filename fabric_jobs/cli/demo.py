"""`fabric-jobs demo`: runs the example workspace and prints its result."""

from __future__ import annotations

import shlex
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import click

from fabric_jobs.cli import options
from fabric_jobs.durations import measured

RECORDS_FILE = "data/2013-01.ndjson.gz"
BAR_WIDTH = 40


@click.command("demo")
@click.argument("destination", default="flights-demo", type=click.Path(path_type=Path))
@options.executor
def command(destination: Path, executor: str | None) -> None:
    """Copy the example workspace to DESTINATION (./flights-demo) and run it: three skills on 27,004 real flights.

    A workspace from an earlier demo is used again. With --executor docker or kubernetes, the images of the three skills
    are built first; FABRIC_JOBS_BUILD_ARGS can name base images other than the public ones, and a cluster without a
    registry gets the images through FABRIC_JOBS_KUBERNETES_LOAD.

    \b
    Examples:
      fabric-jobs demo
      fabric-jobs demo /tmp/flights
      fabric-jobs demo --executor docker
      FABRIC_JOBS_KUBERNETES_LOAD='k3s ctr images import -' fabric-jobs demo --executor kubernetes
    """
    from fabric_jobs.cli.invoking import attend
    from fabric_jobs.client import activations
    from fabric_jobs.workspace import run as verbs
    from fabric_jobs.workspace.example import copy_example, put_data_into_image
    from fabric_jobs.workspace.tree import Workspace

    if not (destination / "agents" / "flights.yaml").exists():
        copy_example("flights", destination)
        click.echo(f"The example workspace is in {destination}.\n")
    root = destination.absolute()
    if executor == "kubernetes":
        put_data_into_image(root)
    if executor in ("docker", "kubernetes"):
        from fabric_jobs.cli.build import build_workspace

        build_workspace(root, executor=executor)
        click.echo()
    gateway = options.gateway_at(root, None)
    click.echo("read-flights ─▶ score-delays ─▶ delayed, cancelled, diverted ─▶ summarise\n")
    started = time.monotonic()
    target = verbs.save_agent(gateway, Workspace(root), "flights", None, executor=executor or "")
    activation_id = verbs.start(gateway, target, {"payload": {"path": RECORDS_FILE}}, root)
    record = attend(gateway, activation_id, quiet=False)
    activations.check_ended_well(record)
    click.echo(f"\nJanuary 2013, flights that left New York ({measured(time.monotonic() - started)}):\n")
    _print_table(record["response"]["carriers"])
    _print_next(destination, activation_id, executor)


def _print_table(carriers: dict[str, Any]) -> None:
    most = max((figures["delayed"] for figures in carriers.values()), default=0) or 1
    click.echo("carrier  delayed  mean minutes  cancelled  diverted")
    for carrier, figures in sorted(carriers.items(), key=lambda item: -item[1]["delayed"]):
        mean = figures["mean_delay_minutes"]
        click.echo(
            f"{carrier:7}  {figures['delayed']:>7,}  {'' if mean is None else mean:>12}  {figures['cancelled']:>9,}  "
            f"{figures['diverted']:>8,}  {'█' * round(BAR_WIDTH * figures['delayed'] / most)}"
        )


def _print_next(destination: Path, activation_id: str, executor: str | None) -> None:
    place = f" --executor {executor}" if executor else ""
    click.echo("\nNext:")
    if shutil.which("fabric-jobs") is None:  # `make demo` installs into an environment that is not on this shell's PATH
        click.echo(f"  export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH")
    click.echo(
        f"  cd {shlex.quote(str(destination))}\n"
        f'  fabric-jobs agents invoke flights --payload \'{{"path": "{RECORDS_FILE}"}}\' --output json{place}\n'
        f"  fabric-jobs activations show {activation_id}\n"
        f"  fabric-jobs tasks list\n"
        f"  fabric-jobs workspaces generate my-skill"
    )

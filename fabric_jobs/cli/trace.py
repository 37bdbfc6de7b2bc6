"""`fabric-jobs trace`."""

from __future__ import annotations

import json
from typing import Any

import click

from fabric_jobs.cli import options
from fabric_jobs.cli.terminal.printing import show

RUNS_SHOWN = 8
PAYLOAD_SHOWN = 200  # characters


@click.command()
@click.argument("activation")
@click.option(
    "--offset", type=click.IntRange(0), help="The record of the response, from 0; with --channel, of that channel."
)
@click.option("--channel", type=click.IntRange(1), help="The channel of the record, by its number.")
@click.option("--forward", is_flag=True, help="What the record caused, instead of what it came from.")
@options.output
@options.at_gateway
def command(
    activation: str,
    offset: int | None,
    channel: int | None,
    forward: bool,
    output: str,
) -> None:
    """Trace a record of the response of ACTIVATION back to the input.

    Without --offset, show what the input caused, in every channel.

    \b
    Examples:
      fabric-jobs trace 4f1d2c… --offset 3
      fabric-jobs trace 4f1d2c…
      fabric-jobs trace 4f1d2c… --channel 12 --offset 7 --forward --output json
    """
    from fabric_jobs.client.gateway import segment

    direction = "forward" if forward or (offset is None and channel is None) else "back"
    found = options.gateway().get(
        f"/activations/{segment(activation)}/trace", direction=direction, channel=channel, offset=offset
    )
    if output != "table":
        show(found, output)
        return
    arrow = "→" if direction == "forward" else "←"
    for number, stop in enumerate(found["records"]):
        click.echo(f"{arrow if number else ' '} {_line(stop)}")
        for task in stop["tasks"]:
            click.echo(f"      by {task}")
        if "payload" in stop:
            click.echo(f"      {_short(stop['payload'])}")


def _line(stop: dict[str, Any]) -> str:
    runs = [
        str(first) if after == first + 1 else f"{first}-{after - 1}" for first, after in stop["offsets"][:RUNS_SHOWN]
    ]
    more = ", …" if len(stop["offsets"]) > RUNS_SHOWN else ""
    what = "record" if stop["count"] == 1 else f"{stop['count']:,} records:"
    return f"{stop['mapping']}  (channel {stop['channel']})  {what} {', '.join(runs)}{more}"


def _short(payload: Any) -> str:
    text = json.dumps(payload, ensure_ascii=False)
    return text if len(text) <= PAYLOAD_SHOWN else text[:PAYLOAD_SHOWN] + "…"

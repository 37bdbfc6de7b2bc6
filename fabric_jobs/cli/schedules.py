"""`fabric-jobs schedules …`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fabric_jobs.cli import options
from fabric_jobs.cli.groups import Group
from fabric_jobs.cli.terminal.printing import can_ask, show, show_rows
from fabric_jobs.errors import RunFailed

if TYPE_CHECKING:
    from fabric_jobs.schedules.schedule import ScheduleDefinition
    from fabric_jobs.workspace.target import Choice

LAST = 5  # occurrences that `show` lists
COLUMNS = {
    "SCHEDULE": "name",
    "CRON": "cron",
    "ZONE": "timezone",
    "INVOKES": "invokes",
    "NEXT": "nextAt",
    "LAST": "said",
}
PAST = {"TIME": "at", "OUTCOME": "outcome", "BY": "origin", "ACTIVATION": "activationId", "REASON": "reason"}
IDLE = "Nothing fires schedules now: only a gateway that `serve` keeps running does."
DONE = ("created", "changed", "unchanged", "deleted")

# The options of commands that save schedules.
saving = options.stack(
    click.option(
        "--save",
        is_flag=True,
        help="Save the definitions of this workspace at the remote gateway first; they replace the published ones.",
    ),
    options.output,
    options.workspace,
    options.state_dir,
)


@click.group("schedules", cls=Group)
def group() -> None:
    """Invoke skills and agents at fixed times: save, list, pause, trigger and backfill schedules."""


@group.command("apply")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--prune", is_flag=True, help="Delete the schedules that the file does not have.")
@click.option("--yes", is_flag=True, help="Do not ask before --prune deletes.")
@saving
def apply_file(file: Path | None, prune: bool, yes: bool, output: str, **given: Any) -> None:
    """Save the schedules of FILE, all or none.  [default: schedules.yaml of the workspace]

    What they invoke is saved first. A schedule that has changed begins anew: no time that has passed runs.

    \b
    Examples:
      fabric-jobs schedules apply
      fabric-jobs schedules apply production.yaml --prune
    """
    from fabric_jobs.workspace import schedules

    choice, root = _choice(given)
    wanted, warnings = schedules.read(file or (root or Path()) / schedules.FILE)
    for warning in warnings:
        click.echo(str(warning), err=True)
    gone = schedules.discard(choice.gateway, wanted) if prune else []
    if gone and not yes:
        if not can_ask():
            raise click.UsageError(f"This deletes {', '.join(gone)}. Add --yes to do it, or leave --prune out.")
        click.confirm(f"Delete {', '.join(gone)}?", abort=True, err=True)
    done = schedules.apply(choice, wanted, prune=prune)
    if output != "table":
        show({key: done[key] for key in (*DONE, "others")}, output)
    else:
        rows = [{"name": name, "outcome": outcome} for outcome in DONE for name in done[outcome]]
        show_rows(rows, {"SCHEDULE": "name", "OUTCOME": "outcome"}, "table", empty="The file has no schedules.")
    if done["others"]:
        click.echo(
            f"Not in the file, and left as they are: {', '.join(done['others'])}. --prune deletes them.", err=True
        )
    _end(done, "list")


@group.command()
@click.argument("name")
@click.option("--cron", required=True, metavar="'M H D M W'", help="When, such as '30 2 * * *' or @daily.")
@click.option(
    "--timezone",
    default="UTC",
    show_default=True,
    metavar="ZONE",
    help="The zone of the clocks, such as Europe/Berlin.",
)
@click.option("--agent", metavar="NAME", help="The agent to invoke.")
@click.option("--skill", metavar="NAME", help="The skill to invoke.")
@click.option(
    "--entry", metavar="NAME", help="The service of the agent, or the input of the skill.  [default: its only one]"
)
@click.option("--payload", metavar="JSON", help="The payload of every run.  [default: null]")
@click.option("--params-file", metavar="FILE", help="The same and 'properties' as JSON in a file; - is standard input.")
@click.option(
    "--overlap",
    type=click.Choice(["skip", "queue", "parallel", "cancel"]),
    default="skip",
    show_default=True,
    help="What happens while an earlier run has not ended.",
)
@click.option(
    "--catchup",
    type=click.Choice(["latest", "none", "all"]),
    default="latest",
    show_default=True,
    help="Which times run that passed while nothing fired schedules.",
)
@click.option("--catchup-within", **options.DURATION, help="How old such a time may be.  [default: 1d]")
@click.option("--jitter", **options.DURATION, help="Start up to so much later, by a share that depends on the name.")
@click.option(
    "--executor",
    type=click.Choice(["local", "docker", "kubernetes"]),
    help="Where its runs take place.  [default: that of the gateway]",
)
@saving
def create(name: str, output: str, **given: Any) -> None:
    """Create schedule NAME, or replace it.

    \b
    Examples:
      fabric-jobs schedules create nightly --cron '30 2 * * *' --timezone Europe/Berlin --agent flights --params-file message.json
      fabric-jobs schedules create heartbeat --cron @hourly --skill word-count --payload '{"text": "to be"}' --overlap queue
    """
    from fabric_jobs.workspace import schedules

    definition = _definition(name, given)
    choice, _ = _choice({key: given[key] for key in ("save", "workspace", "state_dir")})
    saved = schedules.save(choice, definition)
    if output != "table":
        show(saved["schedule"], output)
    else:
        click.echo(saved["message"])
    _end(saved, "next", name)


@group.command("list")
@options.output
@options.at_gateway
def list_schedules(output: str) -> None:
    """List the schedules, with their next and last times.

    \b
    Examples:
      fabric-jobs schedules list
      fabric-jobs schedules list --output json
    """
    from fabric_jobs.client import schedules

    found = schedules.listed(options.gateway())
    rows = found["schedules"] if output != "table" else [_row(one) for one in found["schedules"]]
    show_rows(rows, COLUMNS, output, empty="There are no schedules.")
    _warn(found, rows)


@group.command("show")
@click.argument("name")
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=LAST, show_default=True, help="List so many of its last times."
)
@options.output
@options.at_gateway
def show_schedule(name: str, limit: int, output: str) -> None:
    """Show schedule NAME, and what became of its last times.

    \b
    Examples:
      fabric-jobs schedules show nightly
      fabric-jobs schedules show nightly --limit 100 --output json
    """
    from fabric_jobs.client import schedules

    gateway = options.gateway()
    found = schedules.find(gateway, name)
    past = schedules.occurrences(gateway, name, limit)
    if output != "table":
        show({**found["schedule"], "occurrences": past}, output)
    else:
        show(found["schedule"], "yaml")
        click.echo()
        show_rows(past, PAST, "table", empty="None of its times has come yet.")
    _warn(found, [found["schedule"]])


@group.command("next")
@click.argument("name", required=False)
@click.option("--count", type=click.IntRange(1, 1000), default=10, show_default=True, help="How many.")
@click.option("--cron", metavar="'M H D M W'", help="Instead of NAME: the times of this expression; needs no gateway.")
@click.option("--timezone", default="UTC", show_default=True, metavar="ZONE", help="The zone of --cron.")
@options.output
@options.at_gateway
def next_times(name: str | None, count: int, cron: str | None, timezone: str, output: str) -> None:
    """Print the next times of schedule NAME, or of an expression.

    \b
    Examples:
      fabric-jobs schedules next nightly
      fabric-jobs schedules next --cron '30 2 * * *' --timezone Europe/Berlin --count 3
    """
    if (name is None) == (cron is None):
        raise click.UsageError("Give either the name of a schedule or --cron.")
    if cron is not None:
        times = _times(cron, timezone, count)
    else:
        from fabric_jobs.client import schedules

        times = schedules.next_times(options.gateway(), str(name), count)
    if output != "table":
        show(times, output)
        return
    for item in times:
        click.echo(item["text"])


@group.command()
@click.argument("name")
@click.option("--note", default="", metavar="TEXT", help="Why; shown while it is paused.")
@options.at_gateway
def pause(name: str, note: str) -> None:
    """Pause schedule NAME: no time runs until it is resumed.

    \b
    Examples:
      fabric-jobs schedules pause nightly --note 'until the disk is larger'
    """
    from fabric_jobs.client import schedules

    click.echo(schedules.pause(options.gateway(), name, note))
    click.echo(f"Next: {options.next_command('schedules', 'resume', name)}", err=True)


@group.command()
@click.argument("name")
@options.at_gateway
def resume(name: str) -> None:
    """Resume schedule NAME; the times that passed meanwhile do not run.

    \b
    Examples:
      fabric-jobs schedules resume nightly
    """
    from fabric_jobs.client import schedules

    gateway = options.gateway()
    click.echo(schedules.resume(gateway, name))
    _end(schedules.find(gateway, name), "next", name)


@group.command()
@click.argument("name")
@options.output
@options.at_gateway
def trigger(name: str, output: str) -> None:
    """Start a run of schedule NAME now, also of a paused one; exits with 1 if 'overlap' does not allow it.

    \b
    Examples:
      fabric-jobs schedules trigger nightly
    """
    from fabric_jobs.client import schedules

    answer = schedules.trigger(options.gateway(), name)
    made = answer["occurrence"]
    if output != "table":
        show(made, output)
    elif made["activationId"]:
        click.echo(made["activationId"])
    if not made["activationId"]:
        raise RunFailed(answer["message"], hint=f"See {options.next_command('schedules', 'show', name)}")
    click.echo(f"Next: {options.next_command('activations', 'wait', made['activationId'])}", err=True)


@group.command()
@click.argument("name")
@click.option("--from", "start", required=True, metavar="TIME", help="From this time on, such as 2026-01-31T00:00:00Z.")
@click.option("--to", "end", metavar="TIME", help="Up to this time.  [default: now]")
@click.option("--dry-run", is_flag=True, help="Only list the times.")
@options.output
@options.at_gateway
def backfill(name: str, start: str, end: str | None, dry_run: bool, output: str) -> None:
    """Start a run of schedule NAME for each past time that has none, whatever its 'overlap' says.

    The same command again starts only what is still missing. How many run at a time is a setting of the gateway.

    \b
    Examples:
      fabric-jobs schedules backfill nightly --from 2026-01-01T00:00:00Z --dry-run
      fabric-jobs schedules backfill nightly --from 2026-01-01T00:00:00Z --to 2026-02-01T00:00:00Z
    """
    from fabric_jobs.client import schedules

    rows: list[dict[str, Any]] = []
    for answer in schedules.backfill(options.gateway(), name, start, end, dry_run=dry_run):
        rows += [{"at": at} for at in answer["times"]] if dry_run else answer["occurrences"]
    columns = {"TIME": "at"} if dry_run else PAST
    show_rows(rows, columns, output, empty="No time of the schedule is in between.")
    if rows and not dry_run:
        click.echo(f"Next: {options.next_command('activations', 'list')}", err=True)


@group.command()
@click.argument("names", nargs=-1, required=True)
@options.at_gateway
def delete(names: tuple[str, ...]) -> None:
    """Delete schedules; their activations stay.

    \b
    Examples:
      fabric-jobs schedules delete nightly heartbeat
    """
    from fabric_jobs.client import schedules

    gateway = options.gateway()
    for name in names:
        click.echo(schedules.delete(gateway, name))


def _choice(given: Mapping[str, Any]) -> tuple[Choice, Path | None]:
    """Return where definitions come from, and the root of the workspace if there is one."""
    from fabric_jobs.cli.invoking import check_save, root_or_none, warner
    from fabric_jobs.workspace.target import Choice
    from fabric_jobs.workspace.tree import Workspace

    check_save(given)
    root = root_or_none(given["workspace"])
    gateway = options.gateway_at(root, given["state_dir"])
    workspace = Workspace(root) if root is not None else None
    return Choice(gateway=gateway, workspace=workspace, save=given["save"], warn=warner()), root


def _definition(name: str, given: Mapping[str, Any]) -> ScheduleDefinition:
    """Return the definition that the options of `create` give."""
    from fabric_jobs.workspace.payload import read_params
    from fabric_jobs.workspace.schedules import definition

    if bool(given["agent"]) == bool(given["skill"]):
        raise click.UsageError("Give either --agent or --skill.")
    params = {}
    if given["payload"] is not None or given["params_file"] is not None:
        params = read_params(given["params_file"], None, given["payload"])
    keys = ("cron", "timezone", "agent", "skill", "overlap", "catchup", "executor")
    found = {key: given[key] for key in keys}
    found["service" if given["agent"] else "input"] = given["entry"]
    found["catchup_seconds"], found["jitter_seconds"] = given["catchup_within"], given["jitter"]
    return definition(name, params, found)


def _times(expression: str, zone: str, count: int) -> list[dict[str, Any]]:
    import time
    from itertools import islice

    from fabric_jobs.schedules.cron import Cron

    cron, now = Cron(expression, zone), time.time()
    cron.check(now)
    return [{"at": round(at * 1000), "text": cron.shown(at)} for at in islice(cron.moments(now), count)]


def _row(one: Mapping[str, Any]) -> dict[str, Any]:
    last = one["last"] or {}
    said = f"paused: {one['note']}" if one["note"] else "paused" if one["paused"] else last.get("outcome", "")
    return {**one, "invokes": one.get("agent") or one.get("skill"), "said": said}


def _warn(answer: Mapping[str, Any], rows: list[Any]) -> None:
    """Say if nothing fires the schedules."""
    if rows and not answer["fires"]:
        click.echo(f"{IDLE} Next: {options.next_command('serve')}", err=True)


def _end(answer: Mapping[str, Any], *words: str) -> None:
    """End a command with the next one to type."""
    if answer["fires"]:
        click.echo(f"Next: {options.next_command('schedules', *words)}", err=True)
    _warn(answer, [answer])

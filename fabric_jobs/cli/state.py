"""`fabric-jobs state …`: the size of the state, pruning, a backup, a check."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fabric_jobs import sizes
from fabric_jobs.cli import options
from fabric_jobs.cli.groups import Group
from fabric_jobs.cli.terminal import exits
from fabric_jobs.cli.terminal.printing import can_ask, show, show_rows
from fabric_jobs.counts import counted

if TYPE_CHECKING:
    from fabric_jobs.client.gateway import Gateway

ACTIVATIONS = {"ACTIVATION": "activationId", "NAME": "name", "STATUS": "status", "ENDED": "end", "SIZE": "bytes"}
SHOWN = 20  # activations that a prune lists before it asks
CALL = 500  # activations in one call


@click.group("state", cls=Group)
def group() -> None:
    """Look after what is kept about past runs: its size, what may go, backups, a check."""


@group.command()
@click.option(
    "--top", type=click.IntRange(0, 10_000), default=10, show_default=True, help="How many activations to list."
)
@options.output
@options.at_gateway
def size(top: int, output: str) -> None:
    """Show the size of the state, and the largest activations.

    \b
    Examples:
      fabric-jobs state size
      fabric-jobs state size --top 50 --output json
    """
    found = options.gateway().get("/state/size", top=top)
    if output != "table":
        show(found, output)
        return
    database, attempts, counts = found["database"], found["attempts"], found["counts"]
    lines = {
        "database": f"{sizes.spelled(database['bytes'])}, of which {sizes.spelled(database['free'])} are free",
        "write-ahead log": sizes.spelled(database["wal"]),
        "record files": sizes.spelled(found.get("records", {}).get("bytes", 0)),
        "content": _content_line(found["content"]),
        "project files": sizes.spelled(found.get("deployed", {}).get("bytes", 0)),
        "attempts": f"{sizes.spelled(attempts['bytes'])} in {counts['attempts']:,} attempts",
        "in all": sizes.spelled(found["bytes"]),
        "activations": f"{counts['activations']:,}, of which {counts['pending']:,} run",
        "tasks": f"{counts['tasks']:,}",
        "records": f"{counts['records']:,} in {counts['channels']:,} channels",
        "dead letters": f"{counts['deadLetters']:,}",
    }
    for name, text in lines.items():
        click.echo(f"{name + ':':17}{text}")
    if found["activations"]:
        click.echo()
        columns = {key: ACTIVATIONS[key] for key in ("ACTIVATION", "NAME", "STATUS", "SIZE")}
        show_rows(found["activations"], columns, "table", empty="")


def _content_line(found: dict[str, int]) -> str:
    text = f"{sizes.spelled(found['bytes'])} for {counted(found['keys'], 'key')}"
    if found["used"] > found["bytes"]:
        return f"{text}, and {sizes.spelled(found['used'])} in a bucket"
    return (
        f"{text}, of which no key refers to {sizes.spelled(found['bytes'] - found['used'])}" if found["keys"] else text
    )


@group.command()
@click.option(
    "--older-than",
    **options.DURATION,
    help="Delete what ended longer ago than this, such as 30d or 12h.",
)
@click.option(
    "--max-size",
    **options.SIZE,
    help="Delete the oldest until the state is no larger, such as 10GB or 500MB.",
)
@click.option("--keep-last", type=click.IntRange(0), metavar="N", help="Always keep the newest N.")
@click.option("--dead-letters", is_flag=True, help="Also those with dead letters that nobody has retried.")
@click.option("--content", is_flag=True, help="Only content that no key refers to; in a bucket, too.")
@click.option("--dry-run", is_flag=True, help="Only list what would be deleted.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@options.at_gateway
def prune(
    older_than: float | None,
    max_size: int | None,
    keep_last: int | None,
    dead_letters: bool,
    content: bool,
    dry_run: bool,
    yes: bool,
) -> None:
    """Delete ended activations with their records, responses, tasks, events and logs, the oldest first.

    Content that no key refers to any more is deleted, too; --content alone deletes only that. --keep-last alone
    deletes all but the newest N. Running activations, those with dead letters that nobody has retried, and the one
    with the newest task are never deleted.

    \b
    Examples:
      fabric-jobs state prune --older-than 30d --dry-run
      fabric-jobs state prune --max-size 10GB --keep-last 100 --yes
      fabric-jobs state prune --content --yes
    """
    is_bare = older_than is None and max_size is None and keep_last is None
    if is_bare and not content:
        raise click.UsageError("Say what to delete: --older-than, --max-size, --keep-last or --content.")
    gateway = options.gateway()
    found = gateway.get(
        "/state/prune",
        olderThanSeconds=older_than,
        maxBytes=max_size,
        keepLast=keep_last,
        deadLetters="true" if dead_letters else None,
        content="true" if content else None,
    )
    chosen, unused = [] if is_bare else found["activations"], found.get("content", {"blobs": 0, "bytes": 0})
    if not chosen and not unused["blobs"]:
        click.echo("There is nothing to delete.", err=True)
        return
    if dry_run or not yes:
        _list(chosen, unused)
    if dry_run:
        return
    if not yes:
        _ask()
    _delete(gateway, chosen, {"deadLetters": dead_letters, "content": content})


def _list(chosen: list[dict[str, Any]], unused: dict[str, int]) -> None:
    show_rows(chosen[:SHOWN], ACTIVATIONS, "table", empty="")
    if len(chosen) > SHOWN:
        click.echo(f"… and {len(chosen) - SHOWN:,} more")
    total = sizes.spelled(sum(row["bytes"] for row in chosen))
    if chosen:
        click.echo(f"{len(chosen):,} to delete, about {total}.", err=True)
    if unused["blobs"]:
        click.echo(f"{sizes.spelled(unused['bytes'])} of content to delete, since no key refers to it.", err=True)


def _ask() -> None:
    if not can_ask():
        raise click.UsageError("This deletes for good. Add --yes to do it, or --dry-run to only list it.")
    click.confirm("Delete them for good?", abort=True, err=True)


def _delete(gateway: Gateway, chosen: list[dict[str, Any]], options: dict[str, bool]) -> None:
    from fabric_jobs.cli.terminal.display import Display

    left = [row["activationId"] for row in chosen]
    before, deleted, finished = gateway.get("/state/size", top=0), 0, False
    swept = 0
    with Display(stays=False) as display:
        while left or not finished:
            done = gateway.post("/state/prune", {"activations": left[:CALL], **options})
            deleted += done["count"]
            swept += done.get("content", {"bytes": 0})["bytes"]
            finished = done["finished"] and not done.get("content", {"blobs": 0})["blobs"]
            left = left[done["seen"] :]
            display.show_line(f"deleting: {deleted:,} of {len(chosen):,}")
    compacted = gateway.post("/state/compact")
    after = gateway.get("/state/size", top=0)
    freed = sizes.spelled(max(0, before["bytes"] - after["bytes"]))
    gone = [counted(deleted, "activation")] if chosen or not swept else []
    gone += [f"{sizes.spelled(swept)} of content"] if swept else []
    click.echo(f"Deleted {' and '.join(gone)}; {freed} are free on the disk again.", err=True)
    free = after["database"]["free"]
    if not compacted["compacted"] and free > 1_000_000:
        click.echo(
            f"{sizes.spelled(free)} are free in the database and are reused before it grows; "
            f"they were not returned to the disk: {compacted['reason']}.",
            err=True,
        )


@group.command()
@click.argument("destination", type=click.Path(path_type=Path))
@click.option("--without-logs", is_flag=True, help="Only the database, without the logs of programs.")
@options.at_gateway
def backup(destination: Path, without_logs: bool) -> None:
    """Copy the state to DESTINATION while everything runs: a file .tar, .tar.gz or .tgz, else a new directory.

    The backup has the database as of one moment, then the logs. It also has the keys of this gateway, so keep it
    private. A directory, or an unpacked archive, can be used with --state-dir.

    \b
    Examples:
      fabric-jobs state backup /backups/2026-01-31.tar.gz
      fabric-jobs state backup ../copy --without-logs
      fabric-jobs activations list --state-dir ../copy
    """
    from fabric_jobs.cli.terminal.display import Display
    from fabric_jobs.errors import PlaceUnavailable

    gateway = options.gateway()
    at = gateway.post("/state/backup", {"destination": str(destination.absolute()), "logs": not without_logs})
    with Display(stays=False) as display:
        while not at["ended"]:
            pages = at["pages"]
            part = f"{pages['copied'] / pages['all']:.0%}" if pages["all"] else "0%"
            display.show_line(f"copying: database {part}, {counted(at['files'], 'file')}, {sizes.spelled(at['bytes'])}")
            at = gateway.get("/state/backup", wait=0.5)
    if at["error"]:
        raise PlaceUnavailable(at["error"]["message"], hint=at["error"]["hint"])
    click.echo(f"{at['destination']}: the database and {counted(at['files'], 'other file')}.", err=True)


@group.command()
@options.output
@options.at_gateway
@click.pass_context
def check(ctx: click.Context, output: str) -> None:
    """Read the whole database, count every acknowledged record, and look for inconsistencies.

    Exits with 1 if it finds one. It can run at any time.

    \b
    Examples:
      fabric-jobs state check
      fabric-jobs state check --output json
    """
    found = options.gateway().get("/state/check")
    if output != "table":
        show({"healthy": found["healthy"], "violations": found["violations"], "counts": found["counts"]}, output)
    else:
        _print_counts(found["counts"])
    for violation in found["violations"] if output == "table" else ():
        click.echo(f"Wrong: {violation}.")
    if not found["healthy"]:
        click.echo(
            f"{counted(len(found['violations']), 'thing', 'is', 'are')} wrong. Keep a copy of the state as it is.",
            err=True,
        )
        ctx.exit(exits.FAILED)
    click.echo("Nothing is wrong.", err=True)


def _print_counts(counts: dict[str, int]) -> None:
    lines = {
        "activations": counts["activations"],
        "tasks": counts["tasks"],
        "channels": counts["channels"],
        "records acknowledged to their senders": counts["records"],
        "  finished by their readers": counts["finished"],
        "  waiting for their readers": counts["waiting"],
        "  in responses": counts["responses"],
        "records read and counted": counts["lookedAt"],
        "records dropped after their readers had ended": counts["dropped"],
        "dead letters": counts["deadLetters"],
        "keys of content": counts.get("content", 0),
    }
    for name, count in lines.items():
        click.echo(f"{name:47}{count:>14,}")

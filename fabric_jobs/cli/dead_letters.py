"""`fabric-jobs deadletters …`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from fabric_jobs import json_text
from fabric_jobs.cli import options
from fabric_jobs.cli.groups import Group
from fabric_jobs.cli.terminal.printing import show, show_rows
from fabric_jobs.client import dead_letters
from fabric_jobs.counts import counted
from fabric_jobs.errors import InvalidInput, RunFailed

if TYPE_CHECKING:
    pass

COLUMNS = {
    "ID": "id",
    "SKILL": "skillName",
    "ACTIVATION": "activationId",
    "OFFSET": "offset",
    "ATTEMPTS": "attempts",
    "SINCE": "at",
    "RETRIED AS": "retriedAs",
    "CAUSE": "cause",
}

# The options that choose dead letters.
filters = options.stack(
    click.option("--activation", metavar="ID", help="Only those of this activation."),
    click.option("--skill", metavar="NAME", help="Only those of this skill."),
    click.option("--contains", metavar="TEXT", help="Only those whose cause contains this."),
    options.at_gateway,
)


@click.group("deadletters", cls=Group)
def group() -> None:
    """List, show, edit, retry and drop records that used up their attempts."""


@group.command("list")
@click.option("--retried/--not-retried", default=None, help="Only those already retried, or only the others.")
@click.option(
    "--limit", type=click.IntRange(1, dead_letters.TOGETHER), default=100, show_default=True, help="At most this many."
)
@options.output
@filters
def list_letters(output: str, limit: int, retried: bool | None, **given: Any) -> None:
    """List dead letters, the oldest first.

    \b
    Examples:
      fabric-jobs deadletters list --not-retried
      fabric-jobs deadletters list --skill parse --contains ValueError --output json
    """
    filtered = _filter(given, retried=retried)
    found, count = dead_letters.list_letters(options.gateway(), filtered, limit=limit)
    rows = [{**letter, "offset": (letter["record"] or {}).get("offset")} for letter in found]
    such = "such " if filtered.is_given or retried is not None else ""
    show_rows(found if output != "table" else rows, COLUMNS, output, empty=f"There are no {such}dead letters.")
    if count > len(found):
        click.echo(
            f"{count - len(found):,} more: add --limit {min(count, dead_letters.TOGETHER)}, or a filter.", err=True
        )


@group.command("show")
@click.argument("letter", type=click.IntRange(1))
@options.output
@options.at_gateway
def show_letter(letter: int, output: str) -> None:
    """Show dead letter LETTER: its payload, its error and the last lines of the program.

    \b
    Examples:
      fabric-jobs deadletters show 3
    """
    found = dead_letters.find_letter(options.gateway(), letter)
    show(found, "yaml" if output == "table" else output)
    if not found["retriedAs"]:
        click.echo(f"Next: {options.next_command('deadletters', 'retry', str(letter))}", err=True)


@group.command()
@click.argument("letter", type=click.IntRange(1))
@click.option("--payload", metavar="JSON", help="The new payload.")
@click.option(
    "--payload-file",
    metavar="FILE",
    type=click.File(encoding="utf-8"),
    help="The same, in a file; - is standard input.",
)
@options.at_gateway
def edit(letter: int, payload: str | None, payload_file: Any) -> None:
    """Change the payload of dead letter LETTER before a retry. Without an option, an editor opens.

    \b
    Examples:
      fabric-jobs deadletters edit 3 --payload '{"amount": 12}'
      fabric-jobs deadletters edit 3
    """
    gateway = options.gateway()
    found = dead_letters.find_letter(gateway, letter)
    text = payload_file.read() if payload_file is not None else payload
    if text is None:
        text = click.edit(json.dumps(found["payload"], indent=2, ensure_ascii=False), extension=".json")
        if text is None:
            click.echo("Nothing was changed.", err=True)
            return
    try:
        value = json_text.loads(text)
    except ValueError as error:
        raise InvalidInput(f"the payload is not JSON: {error}.", hint="Nothing was changed; try again.") from error
    click.echo(gateway.put(f"/deadletters/{found['id']}", {"payload": value})["message"])
    click.echo(f"Next: {options.next_command('deadletters', 'retry', str(letter))}", err=True)


@group.command()
@click.argument("letters", nargs=-1, type=click.IntRange(1))
@click.option("--all", "every", is_flag=True, help="All that nobody has retried.")
@click.option("--detach", is_flag=True, help="Print the ids of the new activations and return.")
@options.output
@filters
def retry(letters: tuple[int, ...], every: bool, detach: bool, output: str, **given: Any) -> None:
    """Retry LETTERS: a new activation begins at the input where they failed.

    Exits with 1 if one of them fails again. With --output json, a single LETTER prints the record of its activation;
    several print a list of records.

    \b
    Examples:
      fabric-jobs deadletters retry 3 4
      fabric-jobs deadletters retry --skill parse
      fabric-jobs deadletters retry --all --detach
    """
    gateway = options.gateway()
    ids = dead_letters.chosen(gateway, letters, _filter(given, retried=False), every=every)
    if not ids:
        if output != "table":
            show([], output)
        click.echo("There is no such dead letter to retry.", err=True)
        return
    started = dead_letters.retry(gateway, ids)
    if detach:
        _print_started(started, output)
        return
    from fabric_jobs.cli.invoking import attend

    records = [attend(gateway, activation_id, quiet=False) for activation_id in started]
    _print_results(records, output, is_one=len(letters) == 1)


@group.command()
@click.argument("letters", nargs=-1, type=click.IntRange(1))
@click.option("--all", "every", is_flag=True, help="All of them, including those already retried.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@filters
def drop(letters: tuple[int, ...], every: bool, yes: bool, **given: Any) -> None:
    """Delete LETTERS for good.

    \b
    Examples:
      fabric-jobs deadletters drop 3 4
      fabric-jobs deadletters drop --activation 4f1d2c… --yes
    """
    gateway = options.gateway()
    ids = dead_letters.chosen(gateway, letters, _filter(given), every=every)
    if ids and not letters and not yes:
        click.confirm(f"Drop {counted(len(ids), 'dead letter')} for good?", abort=True, err=True)
    dropped = {letter: dead_letters.drop(gateway, letter) for letter in ids}
    count = sum(dropped.values())
    if count or not letters:
        click.echo(f"{counted(count, 'dead letter', 'is', 'are')} dropped.", err=True)
    missing = [str(letter) for letter, number in dropped.items() if not number]
    if missing:
        click.echo(f"Not dropped, because they do not exist: {', '.join(missing)}.", err=True)


def _print_results(records: list[dict[str, Any]], output: str, *, is_one: bool) -> None:
    """Print the results of the new activations, successful ones first; raise RunFailed if a record is dead again."""
    from fabric_jobs.cli.invoking import check_result, print_answer

    if output != "table":
        show(records[0] if is_one else records, output)
    failures = []
    for record in sorted(records, key=lambda record: record["status"] != "COMPLETE"):
        if output == "table":
            print_answer(record)
        try:
            check_result(record)
        except RunFailed as error:
            failures.append(error)
        if record["status"] == "COMPLETE" and record.get("deadLetters"):
            failures.append(RunFailed(f"activation {record['activationId']} has a dead letter again"))
    if failures:
        raise RunFailed("\n".join(error.message for error in failures), hint=failures[0].hint)


def _filter(given: dict[str, Any], *, retried: bool | None = None) -> dead_letters.Filter:
    wanted = {name: given[name] for name in ("activation", "skill", "contains")}
    return dead_letters.Filter(**wanted, retried=retried)


def _print_started(started: list[str], output: str) -> None:
    if output == "table":
        click.echo("\n".join(started))
        click.echo(f"Next: {options.next_command('activations', 'wait', started[0])}", err=True)
    else:
        show([{"activationId": activation_id} for activation_id in started], output)

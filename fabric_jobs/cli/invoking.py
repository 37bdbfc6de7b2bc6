"""What `skills invoke` and `agents invoke` share: options, Ctrl-C, and the printing of results."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fabric_jobs.cli import options
from fabric_jobs.cli.second_thoughts import tell, unless_interrupted
from fabric_jobs.cli.terminal.printing import show, show_rows
from fabric_jobs.counts import counted
from fabric_jobs.errors import AlreadyExists, InvalidInput, NotFound, RunFailed

if TYPE_CHECKING:
    from fabric_jobs.client.gateway import Gateway
    from fabric_jobs.client.remote import Remote
    from fabric_jobs.workspace.target import Choice

HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")

PATIENCE_SECONDS = 30.0  # how long one call waits while a cancelled activation ends

# The options of both commands.
invocation_options = options.stack(
    click.option(
        "--params-file", metavar="FILE", help="The parameters as JSON, with 'payload' in them; - is standard input."
    ),
    click.option("--params", metavar="JSON", help="The parameters on the command line."),
    click.option("--payload", metavar="JSON", help="The payload alone."),
    click.option(
        "--key",
        metavar="TEXT",
        help="A name for this invocation: invoking again with the same key attaches to the same activation.",
    ),
    click.option(
        "--if-exists",
        type=click.Choice(["retry", "attach", "fail"]),
        help="With --key, if there is an activation: attach to it unless it failed, attach always, or fail.  [default: retry]",
    ),
    click.option("--session", metavar="ID", help="The sessionId of the invocation."),
    click.option(
        "--header",
        "headers",
        metavar="'NAME: VALUE'",
        multiple=True,
        help="A header; passed on if 'allowedHeaders' lists it.",
    ),
    click.option(
        "--save",
        is_flag=True,
        help="Save the definitions of this workspace at the remote gateway first; they replace the published ones.",
    ),
    click.option("--cold", is_flag=True, help="Start every program from scratch, even if its action has 'warm'."),
    click.option(
        "--dry-run",
        is_flag=True,
        help="With --executor kubernetes: print the objects that would be created, without the message, and what the cluster says "
        "of them. Start nothing.",
    ),
    click.option("--detach", is_flag=True, help="Print the activation's id and return; the activation keeps running."),
    options.quiet,
    options.executor,
    options.output,
    options.workspace,
    options.state_dir,
)


def run(kind: str, name: str, entry: str | None, given: dict[str, Any]) -> None:
    """Invoke a skill or an agent of the workspace, and print the result; `given` contains the options."""
    check_save(given)
    if given["dry_run"]:
        from fabric_jobs.cli.dry_runs import check_options, show_dry_run  # late: few runs are dry

        check_options(given)
        if any(given[option] is not None for option in ("params_file", "params", "payload")):
            _params(given)  # they are not needed, but wrong ones are an error
        show_dry_run(_choice(given), kind, name, entry, given)
        return
    choice = _choice(given)  # an owner may start while we read the files

    from fabric_jobs.client.activations import find_activation
    from fabric_jobs.workspace import run as verbs

    gateway, root = choice.gateway, choice.workspace.root if choice.workspace is not None else None
    params = _params(given)
    headers = dict(map(_header, given["headers"]))
    target = choice.snapshot(name, entry) if given.get("snapshot") else choice.target(kind, name, entry)
    is_chosen = bool(params.get("activationId"))
    wanted_id = params["activationId"] = str(params.get("activationId") or os.urandom(12).hex())
    try:
        answer = verbs.begin(gateway, target, params, root, headers=headers, cold=given["cold"])
    except AlreadyExists as error:
        if is_chosen or error.activation_id != wanted_id:
            raise
        answer = {"activationId": wanted_id}  # this call has started it, but the first answer was lost
    except KeyboardInterrupt:  # the activation may have begun, although no answer came
        with suppress(NotFound):
            if find_activation(gateway, wanted_id)["activationId"] == wanted_id:  # not another one that begins so
                _cancel(gateway, wanted_id)
        raise
    activation_id = str(answer["activationId"])
    if activation_id != wanted_id:
        click.echo(f"Attached to activation {activation_id}, which has the same key.", err=True)
    if given["detach"]:
        _print_detached(answer, given["output"])
        return
    print_result(attend(gateway, activation_id, quiet=given["quiet"]), given["output"])


def _choice(given: dict[str, Any]) -> Choice:
    root = root_or_none(given["workspace"])
    gateway = options.gateway_at(root, given["state_dir"])

    from fabric_jobs.workspace.target import Choice
    from fabric_jobs.workspace.tree import Workspace

    workspace = Workspace(root) if root is not None else None
    executor, save = given["executor"] or "", given["save"]
    return Choice(gateway=gateway, workspace=workspace, executor=executor, save=save, warn=warner())


def _params(given: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters of the invocation; options win over what the file or --params has."""
    from fabric_jobs.workspace.payload import read_params

    params = read_params(given["params_file"], given["params"], given["payload"])
    for option, name in (("session", "sessionId"), ("key", "key"), ("if_exists", "ifExists")):
        if given[option] is not None:
            params[name] = given[option]
    if given["if_exists"] and not (params.get("key") or params.get("activationId")):
        raise click.UsageError("--if-exists needs a --key: only an invocation with a key can exist already.")
    return params


def warner() -> Callable[[str], None]:
    """Return a function that prints a difference between a remote gateway and the local files to stderr, each once."""
    said: set[str] = set()

    def warn(sentence: str) -> None:
        if sentence in said:
            return
        if not said:
            click.echo("The gateway runs its own definitions, which differ from the local files:", err=True)
        said.add(sentence)
        click.echo(f"  {sentence}.", err=True)

    return warn


def check_save(given: Mapping[str, Any]) -> None:
    """Raise UsageError if --save would have no effect, or has nothing to save."""
    if not given["save"]:
        return
    if options.remote_given() is None:
        raise click.UsageError(
            "--save is for a remote gateway; an owner on this machine always runs the files as they are."
        )
    options.root_of(given["workspace"])


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not HEADER_NAME.fullmatch(name) or not value.strip().isprintable() or not value.isascii():
        raise InvalidInput(f"'{text}' is not a header.", hint="Write it like --header 'X-Request: 42'.")
    return name, value.strip()


def root_or_none(given: Path | None) -> Path | None:
    """Return the root of the workspace; None if there is none and a remote gateway, which needs none, is named."""
    try:
        return options.root_of(given)
    except NotFound:
        if given is not None or options.remote_given() is None:
            raise
        return None


def attend(gateway: Gateway, activation_id: str, *, quiet: bool) -> dict[str, Any]:
    """Follow an activation with progress. Ctrl-C, SIGTERM and SIGHUP cancel it; a second one leaves it running."""
    from fabric_jobs.cli.terminal.activation import Skills
    from fabric_jobs.cli.terminal.display import Display
    from fabric_jobs.client.activations import follow

    try:
        with Display(quiet=quiet) as display:  # later output appears below it
            return follow(gateway, activation_id, Skills(display).update)
    except KeyboardInterrupt:
        _cancel(gateway, activation_id)
        raise


def print_result(record: dict[str, Any], output: str) -> None:
    """Print the response, or the whole record; raise RunFailed if the activation failed."""
    if output != "table":
        show(record, output)
    else:
        print_answer(record)
    check_result(record)


def print_answer(record: dict[str, Any]) -> None:
    """Print the response of an activation, if it has handled at least some of its records."""
    if record["status"] == "COMPLETE" or (record.get("deadLetters") and record["response"] is not None):
        print_response(record)


def check_result(record: dict[str, Any]) -> None:
    """Print how many records became dead letters; raise RunFailed if the activation failed."""
    from fabric_jobs.client.activations import check_ended_well, next_for_dead_letters

    if record["status"] == "COMPLETE" and record.get("deadLetters"):
        what = counted(record["deadLetters"], "record", "is a dead letter", "are dead letters")
        click.echo(f"{what}. {options.placed(next_for_dead_letters(record))}", err=True)
    try:
        check_ended_well(record)
    except RunFailed as error:
        error.hint = options.placed(error.hint)
        raise


def _cancel(gateway: Gateway, activation_id: str) -> None:
    from fabric_jobs.client.activations import follow
    from fabric_jobs.client.gateway import segment

    with unless_interrupted("Cancelling", "activations", "wait", activation_id):
        gateway.post(f"/activations/{segment(activation_id)}/cancel")
        status = follow(gateway, activation_id, lambda nodes: PATIENCE_SECONDS)["status"]
    what = "is cancelled" if status == "CANCELLED" else f"had ended before: {status}"
    tell(f"Activation {activation_id} {what}.")


def _print_detached(answer: Mapping[str, Any], output: str) -> None:
    activation_id = answer["activationId"]
    if output == "table":
        click.echo(activation_id)
        if (before := answer.get("waitsBehind")) is not None:
            click.echo(f"It waits for its turn, with {before or 'none'} before it.", err=True)
        click.echo(f"Next: {options.next_command('activations', 'wait', activation_id)}", err=True)
    else:
        show({key: answer[key] for key in ("activationId", "waitsBehind") if key in answer}, output)


def print_response(record: dict[str, Any]) -> None:
    """Print the response of an activation: a text unchanged, everything else as JSON."""
    response = record["response"]
    if isinstance(response, str):
        click.echo(response, nl=not response.endswith("\n"))
    elif isinstance(response, dict) and set(response) == {"count", "href"}:
        click.echo(counted(response["count"], "record"))
        click.echo(f"Next: {options.next_command('activations', 'response', record['activationId'])}", err=True)
    elif response is not None:
        show(response, "json")
    else:
        click.echo("There is no response: no record reached the output.", err=True)


def show_saved(remote: Remote, kind: str, output: str) -> None:
    """Print the skills or agents that a remote gateway has."""
    from fabric_jobs.client.gateway import Gateway

    rows = Gateway(remote).get(f"/{kind}s")[f"{kind}s"]
    columns = {"NAME": "name", "VERSION": "_version", "SAVED": "updatedAt", "TITLE": "title"}
    show_rows(rows, columns, output, empty=f"The gateway has no {kind}s.")


def workspace_names(given: Path | None, kind: str) -> list[dict[str, Any]]:
    """Return the skills or agents of the workspace, with the problems of broken ones."""
    from fabric_jobs.workspace.listing import listing

    return listing(options.root_of(given), kind)

"""`tasks logs`, `skills logs` and `activations logs`: their options, and the printing of logs."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from fabric_jobs.cli import options
from fabric_jobs.durations import seconds_of

if TYPE_CHECKING:
    from fabric_jobs.client.gateway import Gateway
    from fabric_jobs.client.logs import Part, Selection

BATCH_BYTES = 1 << 20  # written at once
FOLLOW_SECONDS = 0.5  # between two looks for a task that does not exist yet

# A terminal gets colours and the control characters of progress bars. All other escapes and control characters are
# shown as text.
HARMFUL = re.compile(r"\x1b(?!\[[0-9;]*[mK])|[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f]")

attempt = click.option("--attempt", type=click.IntRange(1), help="Only this attempt.  [default: the last one]")


def since_when(text: str) -> float:
    """Return the seconds since 1970 of a time such as 2026-11-21T10:00:00Z, or of a duration before now such as 10m."""
    with suppress(ValueError):
        return max(0.0, time.time() - seconds_of(text))
    try:
        found = datetime.fromisoformat(text)
        return max(0.0, found.replace(tzinfo=found.tzinfo or UTC).timestamp())
    except (ValueError, OverflowError):
        raise ValueError(
            f"'{text}' is neither a duration such as 10m or 2h30m nor a time such as 2026-11-21T10:00:00Z."
        ) from None


# The options of all commands that print logs.
log_options = options.stack(
    click.option("--stream", type=click.Choice(["stdout", "stderr"]), help="Only this one."),
    click.option(
        "--since",
        **options.typed("TIME", since_when),
        help="Only what was printed since then: a duration such as 10m or 2h30m, or a time such as 2026-11-21T10:00:00Z (UTC "
        "when it does not say).",
    ),
    click.option("--timestamps", "-t", is_flag=True, help="Begin each line with the time when it was seen, in UTC."),
    click.option(
        "--output",
        "-o",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        help="json: one object with time, stream and text for each line.",
    ),
    options.at_gateway,
)


def print_task(gateway: Gateway, name: str, given: dict[str, Any]) -> None:
    """Print the log of a task; `given` contains the options."""
    from fabric_jobs.client.logs import TaskLog

    log = TaskLog(gateway, name, _wanted(given, whole=given["output"] == "json"))
    _Printer(given).print(log.follow() if given["follow"] else log.parts())


def print_activation(gateway: Gateway, activation_id: str, given: dict[str, Any]) -> None:
    """Print the logs of all tasks of an activation, each line after the name of its skill."""
    from fabric_jobs.client.activations import progress_of, whole_id
    from fabric_jobs.client.logs import of_activation

    activation_id = whole_id(gateway, activation_id)  # another one may begin so meanwhile
    width = max([len(node["skill"]) for node in progress_of(gateway, activation_id)], default=0)
    parts = of_activation(gateway, activation_id, _wanted(given, whole=True), follow=given["follow"])
    _Printer(given, prefix_width=width).print(parts)


@click.command("logs")
@click.argument("skill")
@click.argument("action", required=False)
@click.option(
    "--follow", "-f", is_flag=True, help="Continue until the task has ended; wait for a task if there is none."
)
@attempt
@log_options
def skill_logs(skill: str, action: str | None, **given: Any) -> None:
    """Print the log of the newest task of SKILL: its stdout to stdout, its stderr to stderr.

    With ACTION, it is the newest task of that action.

    \b
    Examples:
      fabric-jobs skills logs word-count
      fabric-jobs skills logs word-count --follow --timestamps
    """
    from fabric_jobs.client.tasks import newest_task
    from fabric_jobs.errors import NotFound

    gateway = options.gateway()
    name = newest_task(gateway, skill, action)
    what = f"skill '{skill}'" + (f", action '{action}'" if action else "")
    if name is None and not given["follow"]:
        hint = "List the tasks with `fabric-jobs tasks list`, or wait for one with --follow."
        raise NotFound(f"no task of {what} has run here.", hint=hint)
    if name is None:
        click.echo(f"Waiting for a task of {what}.", err=True)
    while name is None:
        time.sleep(FOLLOW_SECONDS)
        name = newest_task(gateway, skill, action)
    print_task(gateway, name, given)


@click.command("logs")
@click.argument("activation")
@click.option("--follow", "-f", is_flag=True, help="Continue until the activation has ended.")
@log_options
def activation_logs(activation: str, **given: Any) -> None:
    """Print the logs of all tasks of ACTIVATION by time, each line with the name of its skill.

    stdout and stderr of the programs both go to stdout; --stream selects one. All attempts of a task are included.

    \b
    Examples:
      fabric-jobs activations logs 4f1d2c…
      fabric-jobs activations logs 4f1d2c… --follow --timestamps
      fabric-jobs activations logs 4f1d2c… --since 10m --output json
    """
    print_activation(options.gateway(), activation, given)


class _Printer:
    """Prints parts of logs: as unchanged bytes, as lines with the wanted prefixes, or as JSON."""

    def __init__(self, given: dict[str, Any], *, prefix_width: int | None = None) -> None:
        self._json = given["output"] == "json"
        self._timestamps = given["timestamps"]
        self._prefix_width = prefix_width  # None: no prefix
        self._to_stderr = (
            prefix_width is None
        )  # whether stderr goes to stderr; with prefixes all goes to stdout, in order
        self._one_place = not self._to_stderr or _is_one_place()
        self._open: dict[str, tuple[str, int, str]] = {}  # place -> whose line is unfinished there

    def print(self, parts: Iterable[Part | None]) -> None:
        """Print all parts; None means that nothing more comes for a while."""
        batch: list[Part] = []
        size = 0
        for part in parts:
            if batch and (part is None or part.stream != batch[0].stream or size >= BATCH_BYTES):
                self._write(batch)
                batch, size = [], 0
            if part is not None:
                batch.append(part)
                size += len(part.bytes)
        if batch:
            self._write(batch)
        if self._timestamps or self._prefix_width is not None:  # every line must end
            for _, _, stream in self._open.values():
                click.echo(err=self._to_stderr and stream == "stderr")

    def _write(self, batch: list[Part]) -> None:
        if self._json:
            click.echo("".join(f"{line}\n" for part in batch for line in self._objects(part)), nl=False)
            return
        text = b"".join(map(self._decorated, batch))
        to_stderr = self._to_stderr and batch[0].stream == "stderr"
        file = sys.stderr if to_stderr else sys.stdout
        is_terminal = file is not None and file.isatty()
        click.echo(harmless(text) if is_terminal else text, nl=False, err=to_stderr)

    def _decorated(self, part: Part) -> bytes:
        """Return the text of a part; it continues its own unfinished line if nothing was printed in between."""
        place = "" if self._one_place else part.stream
        key = (part.task, part.attempt, part.stream)
        before = self._open.pop(place, None)
        if not part.bytes.endswith(b"\n"):
            self._open[place] = key
        end = b"\n" if before not in (None, key) else b""  # ends an unfinished line of another program
        prefix = self._prefix(part)
        first = end if before == key else end + prefix
        if not prefix:
            return first + part.bytes
        lines = part.bytes.removesuffix(b"\n").replace(b"\n", b"\n" + prefix)
        return first + lines + (b"\n" if part.bytes.endswith(b"\n") else b"")

    def _prefix(self, part: Part) -> bytes:
        prefix = "" if self._prefix_width is None else f"{part.skill.ljust(self._prefix_width)} | "
        if self._timestamps:
            prefix = f"{utc(part.at) or '-'} {prefix}"
        return prefix.encode()

    def _objects(self, part: Part) -> Iterator[str]:
        more: dict[str, Any] = {}
        if self._prefix_width is not None:
            more = {"skill": part.skill, "task": part.task, "attempt": part.attempt}
        begin = json.dumps({"time": utc(part.at), **more, "stream": part.stream})[:-1]  # the same for all its lines
        for line in part.bytes.removesuffix(b"\n").split(b"\n"):
            yield f'{begin}, "text": {json.dumps(line.decode(errors="replace"))}}}'


def harmless(text: bytes) -> str:
    """Return bytes as text that is safe for a terminal."""
    return HARMFUL.sub(lambda found: f"\\x{ord(found[0]):02x}", text.decode(errors="replace"))


def utc(at: float | None) -> str | None:
    """Return a time in the form that precedes a line."""
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _wanted(given: dict[str, Any], *, whole: bool) -> Selection:
    from fabric_jobs.client.logs import Selection

    return Selection(
        stream=given["stream"],
        attempt=given.get("attempt"),
        since=given["since"],
        whole=whole and given["follow"],
    )


def _is_one_place() -> bool:
    """Tell whether stdout and stderr go to the same place, such as a terminal."""
    try:
        return os.path.sameopenfile(sys.stdout.fileno(), sys.stderr.fileno())
    except (AttributeError, OSError, ValueError):  # one of them is closed, or is not a file
        return False

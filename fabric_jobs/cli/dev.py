"""`fabric-jobs skills dev`: run a skill again whenever its files change, and show what changed in its response."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fabric_jobs.cli import options
from fabric_jobs.cli.differences import WAS_NOW, print_differences
from fabric_jobs.cli.invoking import print_response
from fabric_jobs.cli.terminal.printing import echo
from fabric_jobs.counts import counted
from fabric_jobs.durations import measured
from fabric_jobs.errors import shown

if TYPE_CHECKING:
    from fabric_jobs.client.gateway import Gateway
    from fabric_jobs.errors import FabricJobsError
    from fabric_jobs.workspace.developing import Loop

LOOPS = 4  # if this many runs in a row changed the same files, the program itself probably writes them


@click.command("dev")
@click.argument("skill")
@click.argument("input_name", metavar="[INPUT]", required=False)
@click.option(
    "--message",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Invoke with this message.  [default: invoke/INPUT/message.json of the skill]",
)
@click.option("--ignore", multiple=True, metavar="PATTERN", help="Ignore changes of these files, such as '*.db'.")
@options.executor
@options.workspace
@options.own_state_dir
def command(
    skill: str,
    input_name: str | None,
    message: Path | None,
    ignore: tuple[str, ...],
    executor: str | None,
    workspace: Path | None,
    state_dir: Path | None,
) -> None:
    """Run SKILL with its message, and again whenever one of its files changes, until Ctrl-C.

    The first response is printed in full, then only what has changed. A change cancels a run that is still going. An
    error in a file or in a run is printed, and the command waits for the next change. Hidden files, __pycache__,
    virtual environments, expected.json and files that are created during a run are not watched. With --executor docker,
    the image of the skill is built before each run.

    \b
    Examples:
      fabric-jobs skills dev word-count
      fabric-jobs skills dev word-count request --message skills/word-count/invoke/request/long/message.json
      fabric-jobs skills dev word-count --ignore '*.db'
      fabric-jobs skills dev word-count --executor docker
    """
    from fabric_jobs.workspace.developing import Loop, directory_of
    from fabric_jobs.workspace.tree import Workspace
    from fabric_jobs.workspace.watching import Watched

    root = options.root_of(workspace)
    place = state_dir.absolute() if state_dir is not None else None
    found = Workspace(root)
    directory = directory_of(found, skill, input_name)
    watched = Watched(directory, others=[message] if message else [], ignored=ignore)
    loop = Loop(
        workspace=found, name=skill, entry=input_name, message=message, watched=watched, executor=executor or ""
    )
    click.echo(f"Watching {shown(directory)} ({len(watched)} files); Ctrl-C ends.", err=True)
    _Session(loop, root, place).run()


class _Session:
    """The loop, and what it has seen so far."""

    def __init__(self, loop: Loop, root: Path, state_dir: Path | None) -> None:
        self._loop = loop
        self._root = root
        self._state_dir = state_dir
        self._before: tuple[Any] | None = None  # the last response, in a tuple because it may be null
        self._cuts: list[list[str]] = []  # the files that changed during each of the last runs
        self._unwatched: list[str] = []

    def run(self) -> None:
        """Run and wait in turn, until Ctrl-C."""
        from fabric_jobs.errors import FabricJobsError
        from fabric_jobs.workspace.developing import Changed

        changed: list[str] = []
        watched = self._loop.watched
        while True:
            # The owner may have ended; a new one starts while the files settle.
            gateway = options.gateway_at(self._root, self._state_dir)
            watched.settle()
            if changed:
                _say(f"changed: {', '.join(changed)}", colour="cyan")
            try:
                self._run_once(gateway)
                changed = watched.changed()
            except Changed as cut:
                _say("cancelled, because its files changed", colour="yellow")
                changed = cut.paths
            except FabricJobsError as error:
                _print_error(error)
                changed = watched.changed()
            if not changed:
                self._cuts.clear()
            if not changed or self._is_loop(changed):
                changed = watched.wait()

    def _is_loop(self, changed: list[str]) -> bool:
        """Tell whether each of the last runs changed the same files; if so, tell the user, who must break that loop."""
        self._cuts = [*self._cuts, changed][-LOOPS:]
        if self._cuts != [changed] * LOOPS:
            return False
        self._cuts.clear()
        self._loop.watched.settle()  # before the message, since the user may save a file right after it
        click.echo(
            f"Every run changes {', '.join(changed)}, so the command waits for the next change. "
            f"To exclude such a file: --ignore '{changed[0]}'",
            err=True,
        )
        return True

    def _run_once(self, gateway: Gateway) -> None:
        from fabric_jobs.client.activations import response_of
        from fabric_jobs.workspace.developing import COMPARED_RECORDS

        started = time.monotonic()
        if self._loop.executor in ("docker", "kubernetes"):
            from fabric_jobs.cli.build import build_workspace

            build_workspace(self._root, self._loop.name, executor=self._loop.executor, quiet=True)
        record = self._loop.run(gateway)
        self._name_unwatched()
        if record["status"] != "COMPLETE":
            _print_failure(gateway, record)
            return
        response = response_of(gateway, record, limit=COMPARED_RECORDS)
        before, self._before = self._before, (response,)
        took = measured(time.monotonic() - started)
        if before is None:
            print_response(record)
            _say(f"COMPLETE in {took}", colour="green")
            return
        from fabric_jobs.workspace.compare import differences

        found = differences(before[0], response)
        print_differences(found, WAS_NOW)
        what = counted(len(found), "difference") if found else "the same response"
        _say(f"COMPLETE in {took}: {what}", colour="green")

    def _name_unwatched(self) -> None:
        made = self._loop.watched.made_by_runs()
        if made != self._unwatched:
            self._unwatched = made
            click.echo(f"Not watched, since the program writes it: {', '.join(made)}", err=True)


def _print_failure(gateway: Gateway, record: dict[str, Any]) -> None:
    """Print how a run failed, with all of its stderr."""
    from fabric_jobs.client.activations import failure
    from fabric_jobs.workspace.developing import stderr_of

    log = stderr_of(gateway, record)
    error = failure(record, last_lines=not log)
    _say(f"Error: {error.message}", colour="red")
    if log:
        click.echo("  its stderr:", err=True)
        for line in log.splitlines():
            click.echo(f"    {line}", err=True)
    click.echo(error.hint, err=True, nl=bool(error.hint))


def _print_error(error: FabricJobsError) -> None:
    _say(f"Error: {error.message}", colour="red")
    click.echo(error.hint, err=True, nl=bool(error.hint))


def _say(text: str, *, colour: str) -> None:
    """Print what happened, and when."""
    first, _, rest = text.partition("\n")
    echo(f"{time.strftime('%H:%M:%S')}  {click.style(first, fg=colour)}", err=True)
    if rest:
        click.echo(rest, err=True)

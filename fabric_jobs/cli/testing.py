"""What `skills test` and `agents test` share: options, one line per case, the summary, the exit code."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fabric_jobs.cli import options
from fabric_jobs.cli.differences import EXPECTED_ACTUAL, print_differences
from fabric_jobs.cli.invoking import attend, warner
from fabric_jobs.cli.terminal import exits
from fabric_jobs.cli.terminal.display import Display
from fabric_jobs.cli.terminal.printing import echo, show
from fabric_jobs.durations import measured
from fabric_jobs.errors import shown

if TYPE_CHECKING:
    from fabric_jobs.workspace.testing.bench import Result
    from fabric_jobs.workspace.testing.cases import Case

# For each status: the word on a case's line, its colour, the remark after it, and the words of the summary.
WORDS = {
    "passed": ("pass", "green", "", "passed"),
    "unchecked": ("ran", "yellow", "no expected.json", "without expected.json"),
    "written": ("wrote", "yellow", "expected.json", "written"),
    "failed": ("FAIL", "red", "", "failed"),
    "error": ("ERROR", "red", "", "not run"),
}

# The options of both commands.
test_options = options.stack(
    click.option("--update", is_flag=True, help="Write each response that is not as expected to expected.json."),
    click.option(
        "--junit", type=click.Path(path_type=Path), metavar="FILE", help="Write the results as a JUnit file, for CI."
    ),
    options.executor,
    options.output,
    options.workspace,
    options.state_dir,
)


def run_tests(kind: str, names: tuple[str, ...], given: dict[str, Any]) -> None:
    """Run the cases of skills or agents and print the results; exit with 1 if one is not good."""
    root = options.root_of(given["workspace"])
    # An owner may start while we read the files.
    gateway, state = options.gateway_of_tests(root, given["state_dir"])

    from fabric_jobs.workspace.target import Choice
    from fabric_jobs.workspace.testing.bench import Bench
    from fabric_jobs.workspace.testing.cases import cases
    from fabric_jobs.workspace.tree import Workspace

    def follow(activation_id: str) -> dict[str, Any]:
        return attend(gateway, activation_id, quiet=True)

    workspace = Workspace(root)
    found = cases(workspace, kind, names)
    _check_some(found, kind, names)
    choice = Choice(gateway=gateway, workspace=workspace, executor=given["executor"] or "", warn=warner())
    bench = Bench(
        choice=choice,
        workspace=workspace,
        follow=follow,
        update=given["update"],
        look="" if state is None else f"--state-dir {shlex.quote(shown(state))}",
    )
    results = []
    for case in found:
        with Display(stays=False) as display:
            display.show_line(f"run    {case.label}")
            result = bench.run(case)
        results.append(result)
        if given["output"] == "table":
            _print_result(result, max(len(case.label) for case in found))
    if state is not None:
        bench.tidy()
    _finish(results, kind, names, given)
    if not all(result.is_good for result in results):
        if bench.look and any(result.activation_id for result in results):
            click.echo(f"These runs are kept apart from yours: fabric-jobs activations list {bench.look}", err=True)
        click.get_current_context().exit(exits.FAILED)


def _finish(results: list[Result], kind: str, names: tuple[str, ...], given: dict[str, Any]) -> None:
    if given["output"] != "table":
        show([result.document() for result in results], given["output"])
    if given["junit"] is not None:
        from fabric_jobs.scaffold.files import replace_file
        from fabric_jobs.workspace.testing.junit import junit_text

        replace_file(given["junit"], junit_text(results).encode())
    click.echo(_summary(results), err=True)
    if any(result.is_other_response for result in results) and not given["update"]:
        command = " ".join(["fabric-jobs", f"{kind}s", "test", *names, "--update"])
        click.echo(f"If the new results are right: {command}", err=True)


def _check_some(found: Sequence[Case], kind: str, names: tuple[str, ...]) -> None:
    """Raise NotFound if there is nothing to run; print which of the named have no case."""
    from fabric_jobs.errors import NotFound

    place = (
        "skills/<skill>/invoke/<input>/message.json"
        if kind == "skill"
        else "agents/invoke/<agent>/<service>/message.json"
    )
    if not found:
        what = " and ".join(f"'{name}'" for name in names) or "the workspace"
        raise NotFound(f"there is no message to test {what} with.", hint=f"Write {place}.")
    for name in names:
        if name not in {case.name for case in found}:
            click.echo(f"'{name}' has no message to test it with; write {place}.", err=True)


def _print_result(result: Result, width: int) -> None:
    word, colour, more, _ = WORDS[result.status]
    line = f"{click.style(f'{word:5}', fg=colour)}  {result.case.label:{width}}  {measured(result.seconds):>6}"
    echo(f"{line}  {more}".rstrip())
    for text in result.message.splitlines():
        echo(f"       {text}")
    if result.status == "failed":
        print_differences(result.differences, EXPECTED_ACTUAL, indent="       ")


def _summary(results: Sequence[Result]) -> str:
    counts = {status: sum(result.status == status for result in results) for status in WORDS}
    said = [f"{count} {WORDS[status][3]}" for status, count in counts.items() if count]
    return f"{', '.join(said)} in {measured(sum(result.seconds for result in results))}"

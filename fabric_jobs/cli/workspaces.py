"""`fabric-jobs workspaces …`: make skills and agents, check a workspace, build and publish its images."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fabric_jobs.cli import build, options, publish, registries
from fabric_jobs.cli.groups import Group
from fabric_jobs.cli.terminal import exits
from fabric_jobs.cli.terminal.printing import can_ask, show
from fabric_jobs.counts import counted

if TYPE_CHECKING:
    from fabric_jobs.errors import Problem
    from fabric_jobs.workspace.generate import Generated

DEFAULT_TEMPLATE = "job"


@click.group("workspaces", cls=Group)
def group() -> None:
    """Generate skills and agents, check them, build and publish their images."""


group.add_command(build.command)
group.add_command(publish.command)
group.add_command(registries.group)


@group.command()
@click.argument("name", required=False)
@click.argument("destination", default=".", type=click.Path(path_type=Path))
@click.option(
    "--template",
    metavar="NAME|PATH|URL",
    help=f"What to make it from: the name of a template that ships ('{DEFAULT_TEMPLATE}' when only NAME is given), "
    "a directory such as ./templates/etl, or a git repository as URL[@REF][//DIRECTORY].",
)
@click.option(
    "--trust", is_flag=True, help="Run the code of a template from elsewhere: its hooks and Jinja expressions."
)
@click.option(
    "--list-templates",
    is_flag=True,
    help="Print the templates, those of a PATH or URL when --template names one, and do nothing else.",
)
@click.option("--notree", is_flag=True, help="Do not print the tree of new files.")
def generate(
    name: str | None, destination: Path, template: str | None, trust: bool, list_templates: bool, notree: bool
) -> None:
    """Generate a skill or an API NAME in the workspace DESTINATION (default: here).

    Existing files are never overwritten. Without NAME, it asks for the name and the template, on a terminal only. A
    template from elsewhere is code, and needs --trust; listing it runs no code.

    \b
    Examples:
      fabric-jobs workspaces generate word-count
      fabric-jobs workspaces generate read-lines my-workspace --template send-message
      fabric-jobs workspaces generate score-rows --template batch-api
      fabric-jobs workspaces generate --list-templates
      fabric-jobs workspaces generate load-orders --template ./templates/etl --trust
      fabric-jobs workspaces generate --list-templates --template https://example.org/templates.git@v1
    """
    from fabric_jobs.workspace.generate import generate_skill

    if list_templates:
        _print_templates(template or "")
        return
    if name is None:
        _check_terminal()
        name = _ask_name()
        template = template or _ask_template()
    template = template or DEFAULT_TEMPLATE
    generated = generate_skill(name, destination, template, trust=trust, progress=_progress())
    _print_generated(generated, tree=not notree)


@group.command("generate-agent")
@click.argument("name")
@click.argument("skills", nargs=-1, required=True, metavar="SKILL...")
@options.workspace
def chain_agent(name: str, skills: tuple[str, ...], workspace: Path | None) -> None:
    """Generate an agent NAME that chains SKILLs of the workspace: each gets what the one before it sends.

    A skill may be named more than once. Existing files are never overwritten.

    \b
    Examples:
      fabric-jobs workspaces generate-agent count-words read-lines word-count
    """
    from fabric_jobs.workspace.generate import generate_agent
    from fabric_jobs.workspace.root import find_root

    _print_generated(generate_agent(name, skills, find_root(Path.cwd(), workspace)), tree=True)


@group.command()
@options.workspace
@options.output
def lint(workspace: Path | None, output: str) -> None:
    """Check every skill, API file and agent of the workspace, without a network.

    Prints one line for each problem. Exits with 4 if there are errors, with 0 if there are only warnings.

    \b
    Examples:
      fabric-jobs workspaces lint
      fabric-jobs workspaces lint --workspace flights-demo --output json
    """
    from fabric_jobs.workspace.lint.problems import lint as check
    from fabric_jobs.workspace.root import find_root
    from fabric_jobs.workspace.tree import Workspace

    problems = check(Workspace(root=find_root(Path.cwd(), workspace)))
    _print_problems(problems, output)
    errors = sum(problem.level == "error" for problem in problems)
    click.echo(_summary(errors, len(problems) - errors), err=True)
    if errors:
        click.get_current_context().exit(exits.INVALID)


def _check_terminal() -> None:
    if not can_ask():
        raise click.UsageError("Missing argument 'NAME'. It is asked for on a terminal only, and this is none.")


def _ask_name() -> str:
    name: str = click.prompt("Name of the skill", value_proc=_new_name, err=True)
    return name


def _new_name(text: str) -> str:
    from fabric_jobs.errors import InvalidInput
    from fabric_jobs.names import check_new_name

    try:
        return check_new_name(text, "skill")
    except InvalidInput as error:
        raise click.BadParameter(str(error)) from error  # makes the prompt ask again


def _ask_template() -> str:
    from fabric_jobs.scaffold.templates import list_templates

    names = [template.name for template in list_templates()]
    _print_templates("", err=True)
    chosen: str = click.prompt("Template", type=click.Choice(names), default=DEFAULT_TEMPLATE, err=True)
    return chosen


def _print_templates(place: str, *, err: bool = False) -> None:
    from fabric_jobs.scaffold.sources import SHIPPED, source_of
    from fabric_jobs.scaffold.templates import list_templates

    source = source_of(place) or SHIPPED
    templates = list_templates(source, _progress())
    width = max(len(template.name) for template in templates)
    for template in templates:
        text = ": ".join(text for text in (template.title, template.description) if text)
        click.echo(f"{template.name:{width}}  {text}", err=err)
        if template.code:
            click.echo(f"{'':{width}}  runs {', '.join(template.code)}", err=err)
    if not source.is_shipped:
        command = ["fabric-jobs", "workspaces", "generate", "NAME", "--template", templates[0].address, "--trust"]
        click.echo(f"\nNext:\n  {shlex.join(command)}", err=True)


def _progress() -> Callable[[str], None]:
    """Return a function that shows the progress of a download; without a terminal it prints one line at the start."""
    from fabric_jobs.cli.terminal.display import Display

    display = Display(stays=False)

    def show_line(text: str) -> None:
        if not display.is_live:
            display.once("begun", text)
        display.show_line(text)

    return show_line


def _print_generated(generated: Generated, *, tree: bool) -> None:
    from fabric_jobs.scaffold.tree_text import draw_tree

    if tree:
        click.echo(f"{draw_tree(generated.paths, generated.root)}\n")
    click.echo("Next:")
    if generated.root.resolve() != Path.cwd():
        click.echo(f"  cd {shlex.quote(str(generated.root))}")
    click.echo(f"  {generated.next_command}")


def _print_problems(problems: tuple[Problem, ...], output: str) -> None:
    if output != "table":
        show([asdict(problem) for problem in problems], output)
        return
    for problem in problems:
        click.echo(str(problem))


def _summary(errors: int, warnings: int) -> str:
    if not errors and not warnings:
        return "No problems found."
    return f"{counted(errors, 'error')}, {counted(warnings, 'warning')}"

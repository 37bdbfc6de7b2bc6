"""`fabric-jobs connections|types|models|experiments …`: one group for each kind, all made alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fabric_jobs.cli import options
from fabric_jobs.cli.groups import Group
from fabric_jobs.cli.terminal.printing import show, show_rows
from fabric_jobs.client import documents
from fabric_jobs.client.documents import CONNECTIONS, EXPERIMENTS, MODELS, TYPES, DocumentShelf

RUN_COLUMNS = {"RUN": "runId", "PARAMS": "params", "METRICS": "metrics", "TOOK": "took", "ARTIFACTS": "artifacts"}
FILES = click.argument(
    "files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path, exists=True, dir_okay=False)
)


def _group(
    shelf: DocumentShelf, sentence: str, columns: dict[str, str], *, deleting: str = "", asks: str = ""
) -> Group:
    """Return the group of a kind; `asks` is what else a deletion deletes, so that it has to be confirmed."""
    noun, path = shelf.noun, shelf.path
    group = Group(path, help=sentence)

    @group.command("list", help=f"List the {path} of the project.\n\n{_examples(f'{path} list')}")
    @options.output
    @options.at_gateway
    def list_documents(output: str) -> None:
        rows = documents.listed(options.gateway(), shelf)
        shown = {"NAME": "name", **columns, "TITLE": "title", "VERSION": "_version", "UPDATED": "updatedAt"}
        show_rows(rows, shown, output, empty=f"There are no {path}. Next: fabric-jobs {path} save FILE")

    @group.command("save", help=f"Save the {path} of YAML or JSON FILEs.\n\n{_examples(f'{path} save {noun}.yaml')}")
    @FILES
    @options.at_gateway
    def save_documents(files: tuple[Path, ...]) -> None:
        found, gateway = documents.read(files, shelf), options.gateway()
        for document in found:
            click.echo(documents.save(gateway, shelf, document), err=True)
        if found:
            click.echo(f"Next: {options.next_command(path, 'describe', str(found[-1].get('name')))}", err=True)

    @group.command("describe", help=f"Show the {noun} NAME.\n\n{_examples(f'{path} describe {noun}-1 --output json')}")
    @click.argument("name")
    @options.output
    @options.at_gateway
    def describe(name: str, output: str) -> None:
        show(documents.find(options.gateway(), shelf, name), "yaml" if output == "table" else output)

    @group.command("delete", help=f"Delete the {noun} NAME. {deleting}\n\n{_examples(f'{path} delete {noun}-1')}")
    @click.argument("name")
    @click.option("--yes", "-y", is_flag=True, help="Do not ask.")
    @options.at_gateway
    def delete(name: str, yes: bool) -> None:
        if asks and not yes:
            click.confirm(f"Delete {noun} '{name}' with {asks}?", abort=True, err=True)
        click.echo(documents.delete(options.gateway(), shelf, name), err=True)
        click.echo(f"Next: {options.next_command(path, 'list')}", err=True)

    return group


def _examples(line: str) -> str:
    return f"\b\nExamples:\n  fabric-jobs {line}"


connections = _group(
    CONNECTIONS,
    "List, save, describe and delete the connections of jobs to other systems.",
    {"TYPE": "connectionType"},
    deleting="It is refused while a dataset of a skill names it.",
)
types = _group(
    TYPES,
    "List, save, describe and delete the types that parameters refer to.",
    {},
    deleting="It is refused while the parameters of a skill or an agent refer to it.",
)
models = _group(
    MODELS,
    "List, save, describe and delete the models that jobs have made.",
    {"TYPE": "type", "STATUS": "status"},
    deleting="It is refused while it has experiments.",
)
experiments = _group(
    EXPERIMENTS,
    "List, save, describe and delete experiments, and list their runs.",
    {"MODEL": "modelId"},
    asks="its runs and their artifacts",
)


@experiments.command("runs")
@click.argument("experiment")
@options.output
@options.at_gateway
def list_runs(experiment: str, output: str) -> None:
    """List the runs of EXPERIMENT, the last changed first.

    \b
    Examples:
      fabric-jobs experiments runs churn
      fabric-jobs experiments runs churn --output json
    """
    found = documents.runs(options.gateway(), experiment)
    rows = [{**run, **{key: _pairs(run[key]) for key in ("params", "metrics")}} for run in found]
    rows = [{**run, "artifacts": ", ".join(run["artifacts"])} for run in rows]
    show_rows(
        found if output != "table" else rows, RUN_COLUMNS, output, empty=f"Experiment '{experiment}' has no runs."
    )


def _pairs(values: dict[str, Any] | None) -> str:
    return ", ".join(f"{key}={value}" for key, value in (values or {}).items())

"""`fabric-jobs projects …`."""

from __future__ import annotations

import click

from fabric_jobs.cli import options
from fabric_jobs.cli.groups import Group
from fabric_jobs.cli.terminal.printing import show_rows


@click.group("projects", cls=Group)
def group() -> None:
    """List, create and delete projects. A workspace uses the project `local`, which always exists."""


@group.command("list")
@options.output
@options.at_gateway
def list_projects(output: str) -> None:
    """List the projects of a gateway; a personal token sees only its own.

    \b
    Examples:
      fabric-jobs projects list
    """
    from fabric_jobs.client import access

    found = access.list_projects(options.gateway())
    columns = {"NAME": "name", "TITLE": "title", "DESCRIPTION": "description"}
    show_rows(found, columns, output, empty="There are no projects.")


@group.command("create")
@click.argument("name")
@click.option("--title", default="", metavar="TEXT", help="A title.  [default: the name]")
@click.option("--description", default="", metavar="TEXT", help="What it is for.")
@options.at_gateway
def create(name: str, title: str, description: str) -> None:
    """Make the project NAME. What belongs to a project is invisible from all others.

    \b
    Examples:
      fabric-jobs projects create lab --title "The lab"
    """
    from fabric_jobs.client.access import create_project

    create_project(options.gateway(), name, title, description)
    click.echo(f"Project '{name}' is created.", err=True)
    click.echo(f"Next: {options.next_command('tokens', 'create', 'NAME', '--project', name)}", err=True)


@group.command("delete")
@click.argument("name")
@options.at_gateway
def delete(name: str) -> None:
    """Delete the project NAME with its tokens. It must be empty.

    \b
    Examples:
      fabric-jobs projects delete lab
    """
    from fabric_jobs.client.access import delete_project

    delete_project(options.gateway(), name)
    click.echo(f"Project '{name}' is deleted.", err=True)

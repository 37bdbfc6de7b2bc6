"""The commands that a group's `--help` lists."""

from __future__ import annotations

import os
import subprocess
import sys

import click
import pytest

from fabric_jobs.cli import COMMANDS, cli

GROUPS = [name for name, (_, attribute, _) in COMMANDS.items() if attribute == "group"]


@pytest.mark.parametrize("name", GROUPS)
def test_the_list_of_commands_has_whole_sentences(name: str) -> None:
    root = click.Context(cli, info_name="fabric-jobs")
    group = cli.get_command(root, name)
    assert isinstance(group, click.Group)
    context = click.Context(group, info_name=name, parent=root)
    listed = " ".join(group.get_help(context).partition("Commands:")[2].split())
    for command in group.list_commands(context):
        assert f"{command} " in listed
    assert "..." not in listed
    assert listed.endswith(".")


@pytest.mark.parametrize("words", [(), ("workspaces",), ("state", "prune")], ids=" ".join)
def test_the_help_does_not_depend_on_docstrings(words: tuple[str, ...]) -> None:
    said = [
        subprocess.run(
            [sys.executable, "-m", "fabric_jobs", *words, "--help"],
            env={**os.environ, "PYTHONOPTIMIZE": level},
            capture_output=True,
            check=True,
        ).stdout
        for level in ("", "2")
    ]
    assert said[0] == said[1]

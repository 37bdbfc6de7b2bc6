"""Writes docs/reference/commands.md from the commands; with --check, only tells whether the file is up to date."""

from __future__ import annotations

import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import click

from fabric_jobs.cli import cli

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "commands.md"
HEAD = """# Commands

<!-- Made by scripts/generate_reference.py from the commands themselves: change their help, and run it. -->

The command is `fabric-jobs`; `fj` is a shorter name for it. Every command has `--help`. Data goes to stdout, everything else
to stderr. What the exit codes mean is in [settings](settings.md#exit-codes).
"""


def page() -> str:
    """Return the whole page."""
    root = click.Context(cli, info_name="fabric-jobs")
    found = list(_leaves(root))
    contents = [f"- [`{context.command_path}`](#{_anchor(context)}): {_summary(context.command)}" for context in found]
    return "\n".join([HEAD, *contents, "", *(_section(context) for context in found)])


def _leaves(context: click.Context) -> Iterator[click.Context]:
    command = context.command
    if not isinstance(command, click.Group):
        yield context
        return
    for name in command.list_commands(context):
        inner = command.get_command(context, name)
        assert inner is not None, f"{name} is listed, so it is there"
        yield from _leaves(click.Context(inner, info_name=name, parent=context))


def _anchor(context: click.Context) -> str:
    return context.command_path.replace(" ", "-")


def _summary(command: click.Command) -> str:
    return command.get_short_help_str(limit=200)


def _section(context: click.Context) -> str:
    text, examples = _help(context.command)
    usage = " ".join([context.command_path, *context.command.collect_usage_pieces(context)])
    parts = [f"## {context.command_path}", f"```\n{usage}\n```", text]
    table = [_row(param, context) for param in context.command.params if isinstance(param, click.Option)]
    if table:
        parts.append("\n".join(["| option | meaning |", "|---|---|", *table]))
    if examples:
        parts.append(f"Examples:\n\n```\n{examples}\n```")
    return "\n\n".join(parts) + "\n"


def _help(command: click.Command) -> tuple[str, str]:
    """Return the paragraphs of a command's help, wrapped, and its examples."""
    text, _, examples = inspect.cleandoc(command.help or "").partition("\b\nExamples:\n")
    paragraphs = [" ".join(paragraph.split()) for paragraph in re.split(r"\n\s*\n", text.strip())]
    wrapped = [
        textwrap.fill(paragraph, 120, break_long_words=False, break_on_hyphens=False) for paragraph in paragraphs
    ]
    return "\n\n".join(wrapped), textwrap.dedent(examples).strip()


def _row(option: click.Option, context: click.Context) -> str:
    name, meaning = option.get_help_record(context) or ("", "")
    variable = f" Also from the variable `{option.envvar}`." if option.envvar else ""
    return f"| {_cell(f'`{name}`')} | {_cell(meaning + variable)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("  [", " [")


def main() -> None:
    """Write the page, or check it."""
    wanted = page()
    if sys.argv[1:] == ["--check"]:
        if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != wanted:
            sys.exit(f"{PAGE} is not up to date. Run: python scripts/generate_reference.py")
        return
    PAGE.write_text(wanted, encoding="utf-8")
    print(f"wrote {PAGE}")


if __name__ == "__main__":
    main()

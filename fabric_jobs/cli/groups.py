"""Groups of commands: their help, and the error for an unknown command."""

from __future__ import annotations

import sys

import click

WHOLE = 1_000  # longer than any first sentence


class Group(click.Group):
    """A group whose help shows the whole first sentence of every command, which click would truncate."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the named command; for an unknown one, suggest the nearest, with every version of click."""
        name = args[0]
        if not (ctx.resilient_parsing or name.startswith("-") or self.get_command(ctx, name)):
            from fabric_jobs.names import nearest

            ctx.fail(f"No such command '{name}'. {nearest(name, self.list_commands(ctx))}")
        return super().resolve_command(ctx, args)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command with its help; None if there is no such command."""
        command = super().get_command(ctx, cmd_name)
        return command and with_help(command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands."""
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [(name, f"{command.get_short_help_str(WHOLE).rstrip('.')}.") for name, command in commands if command]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def with_help(command: click.Command) -> click.Command:
    """Return a command with its help; if PYTHONOPTIMIZE=2 has removed docstrings, read it from the source."""
    if command.help is None and sys.flags.optimize >= 2 and command.callback is not None:
        import ast
        import inspect
        import textwrap

        (function,) = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(command.callback)))).body
        command.help = ast.get_docstring(function) if isinstance(function, ast.FunctionDef) else None
    return command

"""The list of commands that the help of a group shows."""

from __future__ import annotations

import click

WHOLE = 1_000  # longer than any first sentence


class Group(click.Group):
    """A group whose help has the whole first sentence of every command; click would cut it off in the middle."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands."""
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [(name, f"{command.get_short_help_str(WHOLE).rstrip('.')}.") for name, command in commands if command]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

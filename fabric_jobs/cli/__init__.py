"""The command `fabric-jobs`: one file per command group, loaded when it is called."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from importlib import import_module
from io import TextIOWrapper
from typing import NoReturn

import click

import fabric_jobs
from fabric_jobs.cli import signals, surroundings
from fabric_jobs.cli.groups import Group, with_help
from fabric_jobs.errors import FabricJobsError, PlaceUnavailable

# Name, module, attribute, and the line for --help: reading it from the command would load every module.
COMMANDS: dict[str, tuple[str, str, str]] = {
    "demo": ("demo", "command", "Run the example: an agent of three skills on real flight records."),
    "workspaces": (
        "workspaces",
        "group",
        "Generate skills and agents, check them, build and publish their images.",
    ),
    "skills": ("definitions", "skills", "List the skills of a workspace, invoke, develop and test them."),
    "agents": ("definitions", "agents", "List the agents of a workspace, invoke and test them."),
    "jobs": ("jobs", "group", "Deploy Batch and Task APIs, and submit, follow and stop their jobs."),
    "activations": ("activations", "group", "List, show, wait for and cancel invocations."),
    "tasks": ("tasks", "group", "List and show the tasks of activations, and print their logs."),
    "trace": ("trace", "command", "Show where a record came from, or what it caused."),
    "deadletters": ("dead_letters", "group", "List, show, edit, retry and drop records that could not be handled."),
    "secrets": ("secrets", "group", "Set, list and delete secrets of properties and programs."),
    "schedules": ("schedules", "group", "Invoke skills and agents at fixed times."),
    "content": ("content", "group", "List, upload, download and delete content: bytes of any length by key."),
    "callbacks": ("callbacks", "group", "List and retry callbacks that were not delivered."),
    "connections": ("documents", "connections", "Manage the connections of jobs to other systems."),
    "types": ("documents", "types", "Manage the types that parameters refer to."),
    "models": ("documents", "models", "Manage the models that jobs have made."),
    "experiments": ("documents", "experiments", "Manage experiments, and list their runs."),
    "environments": ("environments", "group", "List and remove the cached Python environments of skills."),
    "state": ("state", "group", "Manage the state: its size, pruning, backups, a check."),
    "doctor": ("doctor", "command", "Look for what is wrong with the installation and the state."),
    "tokens": ("tokens", "group", "Make, list and revoke personal tokens for people and programs."),
    "projects": ("projects", "group", "List, create and delete projects."),
    "profiles": ("profiles", "group", "Manage the addresses of remote gateways."),
    "deploy": ("deploy", "group", "Put a gateway into a Kubernetes cluster."),
    "serve": ("serve", "command", "Serve a workspace in the foreground."),
}

OUTPUT_ERRORS = (errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EIO)


class LazyGroup(Group):
    """Loads a command's module when the command is named."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of COMMANDS."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command; None if there is no such command."""
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(import_module(f"fabric_jobs.cli.{module}"), attribute)
        return with_help(command)

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; click itself would treat a closed pipe as a failure."""
        try:
            return super().invoke(ctx)
        except signals.Stopped as stopped:
            raise _Interrupted from stopped  # otherwise click would write to a terminal that may be closed
        except OSError as error:
            if error.errno in OUTPUT_ERRORS and error.filename is None:
                raise _OutputFailed(error) from error
            raise surroundings.explained(error) from error
        except (RuntimeError, UnicodeError) as error:
            raise surroundings.explained(error) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without loading them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, _, line) in COMMANDS.items()])


@click.group("fabric-jobs", cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(fabric_jobs.__version__, prog_name="fabric-jobs")
def cli() -> None:
    """Scaffold, run, wire and stream jobs: programs that take a JSON message and emit records.

    \b
    Examples:
      fabric-jobs demo
      fabric-jobs workspaces generate word-count
      fabric-jobs skills invoke word-count --payload '{"text": "to be or not"}'
      fabric-jobs agents invoke flights --params-file message.json --output json
    """


class _Interrupted(Exception):
    """A signal ended the command."""


class _OutputFailed(Exception):
    """The output could not be written."""

    def __init__(self, error: OSError) -> None:
        super().__init__(str(error))
        self.reason = "" if isinstance(error, BrokenPipeError) else error.strerror or str(error)


def main() -> None:
    """Run the command line; every error becomes a message and an exit code (docs/reference/settings.md)."""
    from fabric_jobs.cli.terminal.exits import exit_code_of

    signals.stop_like_ctrl_c()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # None when it is closed
            stream.reconfigure(errors="backslashreplace")  # characters that a terminal cannot show must not fail
    try:
        code = with_help(cli).main(standalone_mode=False)  # the code of `ctx.exit`, else None
    except (_Interrupted, click.Abort, KeyboardInterrupt) as interrupt:
        _leave(signals.exit_code_of(interrupt), "Interrupted.")
    except click.ClickException as error:
        with suppress(OSError):
            error.show()
        _leave(error.exit_code)
    except _OutputFailed as error:
        if not error.reason:
            _leave(0)  # the reader wants no more, which is not an error
        _leave(exit_code_of(PlaceUnavailable("")), f"Error: the output cannot be written: {error.reason}.")
    except FabricJobsError as error:
        _leave(exit_code_of(error), f"Error: {error.message}", *([error.hint] if error.hint else []))
    else:
        sys.exit(code or 0)


def _leave(code: int, *said: str) -> NoReturn:
    """Exit with a code, after lines on standard error that nobody may be able to read: the terminal may be closed.

    What could not be written goes nowhere, since Python's last flush would fail again and change the code to 120.
    """
    with suppress(OSError):
        for line in said:
            click.echo(line, err=True)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # None when it is closed
            with suppress(OSError):
                stream.flush()
            os.dup2(nowhere, stream.fileno())
    sys.exit(code)

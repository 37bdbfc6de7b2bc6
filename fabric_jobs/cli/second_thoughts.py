"""What a first Ctrl-C does while a command waits: it ends the work, unless a second one follows at once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import click

from fabric_jobs.cli import options

SECOND_THOUGHT_SECONDS = 1.0  # between a first Ctrl-C and the end of the work, so that a second one comes in time


@contextmanager
def unless_interrupted(doing: str, *following: str) -> Iterator[None]:
    """Say what is being done, wait for a second Ctrl-C, and do it. At a second one, say with which command to go on waiting."""
    try:
        tell(f"\n{doing}; press Ctrl-C again now to leave it running.")
        time.sleep(SECOND_THOUGHT_SECONDS)
        yield
    except KeyboardInterrupt:
        tell(f"Left as it is. Next: {options.next_command(*following)}")
        raise


def tell(text: str) -> None:
    """Print a line on stderr; a closing terminal may be the reason for it."""
    with suppress(OSError):
        click.echo(text, err=True)

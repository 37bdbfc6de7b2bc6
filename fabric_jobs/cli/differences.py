"""Shows where two JSON values differ: the path, then one value above the other, coloured on a terminal."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from fabric_jobs.cli.terminal.printing import echo

if TYPE_CHECKING:
    from fabric_jobs.workspace.compare import Difference

SHOWN = 20  # differences of one response; further ones are only counted
VALUE_LENGTH = 200
COMPARED_LINES = 1000  # texts with more lines are shown as values: comparing them takes too long
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

Words = tuple[str, str]
EXPECTED_ACTUAL: Words = ("expected", "actual")
WAS_NOW: Words = ("was", "now")


def print_differences(found: Sequence[Difference], words: Words, *, indent: str = "") -> None:
    """Print differences to stdout; `words` name the two values."""
    for line in difference_lines(found, words):
        echo(f"{indent}{line}")


def difference_lines(found: Sequence[Difference], words: Words) -> Iterator[str]:
    """Yield the lines to print, with colours."""
    for difference in found[:SHOWN]:
        yield click.style(difference.path, bold=True)
        yield from (f"  {line}" for line in _sides(difference, words))
    if len(found) > SHOWN:
        yield f"… and {len(found) - SHOWN:,} more"


def _sides(difference: Difference, words: Words) -> Iterable[str]:
    old, new = difference.expected, difference.actual
    if isinstance(old, str) and isinstance(new, str) and ("\n" in old.rstrip("\n") or "\n" in new.rstrip("\n")):
        lines = list(_text_lines(old.splitlines(), new.splitlines()))
        if lines:
            return lines
    width = max(map(len, words)) + 1
    labels = [f"{word}:".ljust(width) for word in words]
    return [
        click.style(f"{labels[0]} {_shown(old)}", fg="red"),
        click.style(f"{labels[1]} {_shown(new)}", fg="green"),
    ]


def _text_lines(old: list[str], new: list[str]) -> Iterator[str]:
    """Yield the differing lines of two texts, each with one line of context; nothing if the texts are too long."""
    if max(len(old), len(new)) > COMPARED_LINES:
        return
    for line in list(difflib.unified_diff(old, new, n=1, lineterm=""))[2 : SHOWN * 4]:
        colour = {"-": "red", "+": "green", "@": "cyan"}.get(line[0])
        yield click.style(_short(CONTROL.sub("\ufffd", line)), fg=colour)


def _shown(value: Any) -> str:
    from fabric_jobs.workspace.compare import ABSENT

    return "nothing" if value is ABSENT else _short(json.dumps(value, ensure_ascii=False))


def _short(text: str) -> str:
    return text if len(text) <= VALUE_LENGTH else f"{text[:VALUE_LENGTH]}…"

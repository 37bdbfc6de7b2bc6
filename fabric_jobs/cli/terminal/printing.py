"""Prints tables, JSON, YAML and coloured lines; tells whether a user can answer a question."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import click

from fabric_jobs import sizes

TIMES = (
    "start",
    "end",
    "startTime",
    "endTime",
    "updatedAt",
    "usedAt",
    "createdAt",
    "at",
    "nextAt",
)  # columns of milliseconds since 1970
SIZES = ("size", "bytes")  # columns of bytes


def show(value: Any, output: str) -> None:
    """Print a value as JSON or YAML."""
    if output == "yaml":
        import yaml

        click.echo(yaml.safe_dump(value, sort_keys=False, allow_unicode=True).rstrip())
        return
    is_unicode = sys.stdout is not None and (sys.stdout.encoding or "").lower().startswith("utf")
    click.echo(json.dumps(value, indent=2, ensure_ascii=not is_unicode))


def show_all(values: Sequence[Any]) -> None:
    """Print several values as YAML documents, as `kubectl` reads them."""
    import yaml

    click.echo(yaml.safe_dump_all(values, sort_keys=False, allow_unicode=True, explicit_start=True).rstrip())


def show_rows(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], output: str, *, empty: str) -> None:
    """Print a list: as a table of `columns` (heading -> key), or in full as JSON or YAML. If empty, print `empty` to stderr."""
    if output != "table":
        show(list(rows), output)
        return
    if not rows:
        click.echo(empty, err=True)
        return
    table = [list(columns), *([_cell(key, row.get(key)) for key in columns.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def echo(text: str, *, err: bool = False) -> None:
    """Print a line, with colours only on a terminal that is not dumb, and unless NO_COLOR is set."""
    is_plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    click.echo(text, err=err, color=False if is_plain else None)


def can_ask() -> bool:
    """Tell whether a user can answer a question here."""
    return sys.stdin is not None and sys.stdin.isatty()


def _cell(key: str, value: Any) -> str:
    if value is None:
        return ""
    if key in TIMES:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(value / 1000))
    if key in SIZES:
        return sizes.spelled(value)
    return " ".join(str(value).split())

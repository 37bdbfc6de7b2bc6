"""Data to stdout: tables, JSON, YAML."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import click


def show(value: Any, output: str) -> None:
    """Print a value as JSON or YAML."""
    if output == "yaml":
        import yaml

        click.echo(yaml.safe_dump(value, sort_keys=False, allow_unicode=True).rstrip())
        return
    is_unicode = sys.stdout is not None and (sys.stdout.encoding or "").lower().startswith("utf")
    click.echo(json.dumps(value, indent=2, ensure_ascii=not is_unicode))


def show_rows(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], output: str, *, empty: str) -> None:
    """Print a list: as a table of `columns` (heading -> key), or whole as JSON or YAML; `empty` goes to stderr."""
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


def _cell(key: str, value: Any) -> str:
    if value is None:
        return ""
    if key in ("start", "end", "startTime", "endTime", "updatedAt", "at"):
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(value / 1000))
    return " ".join(str(value).split())

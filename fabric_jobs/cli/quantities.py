"""Sizes and spans as people type and read them."""

from __future__ import annotations

import re

import click

SIZES = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40}
SPANS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}


def size(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """Return bytes, given such as `500MB`, `10GB` or `1.5GiB`."""
    if value is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?I?)B?", value.strip().upper())
    if found is None or found[2] not in SIZES:
        raise click.BadParameter(f"'{value}' is not a size; write it like 500MB, 10GB or 1.5GiB.")
    return min(round(float(found[1]) * SIZES[found[2]]), 2**53)


def span(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """Return seconds, given such as `90m`, `12h`, `30d` or `2w`."""
    if value is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhdw])", value.strip().lower())
    if found is None:
        raise click.BadParameter(f"'{value}' is not a span of time; write it like 90m, 12h, 30d or 2w.")
    return min(float(found[1]) * SPANS[found[2]], 1e12)


def bytes_text(count: float) -> str:
    """Return bytes as people read them, such as `1.4 MB`."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"

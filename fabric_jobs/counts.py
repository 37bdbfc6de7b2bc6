"""Counted things: one file, 1,234 files."""

from __future__ import annotations


def counted(count: int, noun: str, one: str = "", many: str = "") -> str:
    """Return a count with its noun and an optional predicate: `1 file is new`, `1,234 files are new`."""
    words = (f"{count:,}", noun if count == 1 else f"{noun}s", one if count == 1 else many)
    return " ".join(filter(None, words))

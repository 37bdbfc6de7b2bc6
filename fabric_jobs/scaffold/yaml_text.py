"""Writes names into YAML text."""

from __future__ import annotations

# Names that YAML 1.1 reads as true, false or null. It reads every other name as text.
NOT_TEXT = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})


def scalar(name: str) -> str:
    """Return a name as YAML text that is read as that name. The name begins with a letter, and has no blanks or quotes."""
    return f'"{name}"' if name.casefold() in NOT_TEXT else name

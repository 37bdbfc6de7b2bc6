"""Writes names into YAML text."""

from __future__ import annotations

# What YAML 1.1 readers take for true, false or null; every other name is read as itself.
NOT_TEXT = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})


def scalar(name: str) -> str:
    """Return a name, which starts with a letter and has no blanks or quotes, as YAML text that is read as that name."""
    return f'"{name}"' if name.casefold() in NOT_TEXT else name

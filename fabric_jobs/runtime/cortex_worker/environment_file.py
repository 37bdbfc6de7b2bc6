"""Reads the `.env` of a project, as bash would when it exports all that it sets."""

from __future__ import annotations

import os
import re

FILE = ".env"
LINE = re.compile(
    r"""\s*(?:export\s+)?(?P<name>[A-Za-z_]\w*)=(?:(?P<plain>[\w./:=,@%+^-]*)|'(?P<single>[^']*)'|"(?P<double>[^"$`\\!]*)")"""
    r"""\s*(?:\s\#.*)?"""
)
BLANK = re.compile(r"\s*(?:#.*)?")
PRINT = 'shopt -u checkwinsize; set -a; . "$1" 1>&2 && exec env -0'


def variables(directory: str) -> dict[str, str]:
    """Return what the file sets; nothing when there is none. Raises ValueError when it is not a file for bash.

    Plain lines are read here. Where any line needs bash, such as one with `$NAME`, bash reads the file.
    """
    path = os.path.join(directory, FILE)
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ValueError(f"{FILE} cannot be read: {error}") from None
    found = plain(text)
    return _by_bash(path) if found is None else found


def plain(text: str) -> dict[str, str] | None:
    """Return what plain lines set; None if any line is not plain."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        match = LINE.fullmatch(line)
        if match is not None:
            found[match["name"]] = match["plain"] or match["single"] or match["double"] or ""
        elif not BLANK.fullmatch(line):
            return None
    return found


def _by_bash(path: str) -> dict[str, str]:
    import subprocess  # late: most files need no bash

    before = dict(os.environ)  # that of C may have more
    try:
        ended = subprocess.run(["bash", "-c", PRINT, "bash", path], capture_output=True, check=False, env=before)
    except OSError as error:
        raise ValueError(f"{FILE} needs bash, which cannot be run: {error.strerror}") from None
    if ended.returncode:
        last = ended.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise ValueError(f"{FILE} is not valid: {(last or ['bash failed'])[0]}")
    lines = ended.stdout.decode(errors="surrogateescape").split("\0")
    given = dict(line.split("=", 1) for line in lines if "=" in line)
    return {name: value for name, value in given.items() if before.get(name) != value and name not in ("_", "SHLVL")}

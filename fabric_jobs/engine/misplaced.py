"""Hints at a file that a program looked for in its own directory, but that is in the workspace."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

NOT_FOUND = re.compile(r"no such file or directory|ENOENT", re.I)
QUOTED = re.compile(r"'([^']+)'|\"([^\"]+)\"")
AROUND = ":,;()[]`"


def hint(last_lines: Sequence[str], workspace: Callable[[], str]) -> str:
    """Return what to do about a missing relative path that exists in the workspace; empty when there is none."""
    missing = list(_missing(last_lines))
    root = workspace() if missing else ""
    found = next((path for path in missing if root and _is_there(root, path)), "")
    return found and (
        f"The workspace contains {found}, but a program runs in the directory of its action: "
        "begin the path with the variable FABRIC_JOBS_WORKSPACE."
    )


def _missing(lines: Sequence[str]) -> Iterator[str]:
    """Yield the relative paths in messages about missing files, as Python, shells, Go and Node write them."""
    for line in reversed(lines):
        if NOT_FOUND.search(line):
            quoted = [one or other for one, other in QUOTED.findall(line)]
            for word in quoted or (word.strip(AROUND) for word in line.split()):
                if word and not word.startswith("/") and ".." not in word.split("/"):
                    yield word


def _is_there(workspace: str, path: str) -> bool:
    try:
        return Path(workspace, path).exists()
    except (OSError, ValueError):
        return False

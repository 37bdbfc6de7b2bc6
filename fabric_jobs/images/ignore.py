"""Applies .dockerignore to a build context by the rules of Docker's newest version."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from posixpath import normpath

from fabric_jobs.errors import InvalidDefinition, Problem
from fabric_jobs.user_files import decoded, read_bytes

IGNORE_FILES = ("Dockerfile.dockerignore", ".dockerignore")  # the first that exists
Matched = tuple[bool, ...]  # which patterns matched a directory; they decide about its content, too


@dataclass(frozen=True)
class Pattern:
    """One line: what it matches, and whether it is an exception, marked by `!`."""

    expression: re.Pattern[str]
    is_exception: bool


class Ignore:
    """The lines of a .dockerignore."""

    def __init__(self, patterns: Sequence[Pattern] = ()) -> None:
        self._patterns = tuple(patterns)
        self.has_exceptions = any(pattern.is_exception for pattern in patterns)

    def match(self, path: str, above: Matched = ()) -> tuple[bool, Matched]:
        """Tell whether `path` is ignored. `above` is the second value that this returned for its directory."""
        ignored = False
        found = [False] * len(self._patterns)
        for index, pattern in enumerate(self._patterns):
            matches = bool(above) and above[index]
            if not matches:
                if pattern.is_exception != ignored:
                    continue  # no effect
                matches = pattern.expression.fullmatch(path) is not None
            found[index] = matches
            if matches:
                ignored = not pattern.is_exception
        return ignored, tuple(found)


def read_ignore(directory: Path) -> Ignore:
    """Return the patterns of a build context. Dockerfile.dockerignore takes precedence over .dockerignore.

    Raise InvalidDefinition, with the line, for a pattern that Docker would reject.
    """
    for name in IGNORE_FILES:
        path = directory / name
        try:
            text = decoded(read_bytes(path), errors="surrogateescape")
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise _refused(path, 0, f"the file cannot be read: {error.strerror}") from None
        return Ignore(_patterns(text, path))
    return Ignore()


def _patterns(text: str, path: Path) -> list[Pattern]:
    found = []
    for number, line in enumerate(text.split("\n"), start=1):
        pattern = line.strip()
        if not pattern or line.startswith("#"):
            continue
        is_exception = pattern.startswith("!")
        pattern = pattern[1:].strip() if is_exception else pattern
        pattern = re.sub("^/+", "/", normpath(pattern)) if pattern else ""
        if is_exception and pattern in ("", "/"):
            raise _refused(path, number, "'!' must be followed by a pattern")
        pattern = pattern[1:] if len(pattern) > 1 and pattern.startswith("/") else pattern
        try:
            found.append(Pattern(re.compile(_expression(pattern), re.DOTALL | re.ASCII), is_exception))
        except (re.error, ValueError):
            raise _refused(path, number, f"'{line.strip()}' is not a pattern that Docker understands") from None
    return found


def _expression(pattern: str) -> str:
    """Return the regular expression of a pattern, which must match a whole path."""
    if pattern.startswith("**") and not any(special in pattern[2:] for special in "*?[]\\"):
        end = pattern[2:]
        return ".*" if not end else f"(?:.*/)?{re.escape(end[1:])}" if end[0] == "/" else f".*{re.escape(end)}"
    parts: list[str] = []
    rest = pattern
    while rest:
        part, rest = _part(rest)
        parts.append(part)
    return "".join(parts)


def _part(rest: str) -> tuple[str, str]:
    """Return the regular expression of a pattern's first element, and the rest of the pattern."""
    if rest.startswith("**"):
        rest = rest[2:].removeprefix("/")
        return ("(?:.*/)?", rest) if rest else (".*", "")
    first = rest[0]
    if first == "*":
        return "[^/]*", rest[1:]
    if first == "?":
        return "[^/]", rest[1:]
    if first == "[":
        return _group(rest)
    if first == "\\":
        if len(rest) == 1:
            raise ValueError("nothing follows the backslash")
        return rest[:2] if rest[1].isalnum() else re.escape(rest[1]), rest[2:]  # `\d` means a digit in Docker, too
    return re.escape(first), rest[1:]


def _group(rest: str) -> tuple[str, str]:
    """Return the regular expression of `[…]`, which Docker copies unchanged."""
    found = re.match(r"\[(\^?)((?:\\.|[^\]\\])+)\]", rest)
    if found is None:
        raise ValueError("the bracket is not closed")
    inside = re.sub(r"(?<!\\)[\[&|~]", r"\\\g<0>", found[2])  # special in Python only
    return f"[{found[1]}{inside}]", rest[found.end() :]


def _refused(path: Path, line: int, message: str) -> InvalidDefinition:
    return InvalidDefinition((Problem.of_file(path, message, line=line),))

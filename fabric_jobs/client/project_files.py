"""Collects the files of a project for an API, without what its .cortexignore names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from fabric_jobs.errors import InvalidDefinition, InvalidInput, Problem, RecordTooLarge
from fabric_jobs.runtime.cortex_command.files import (
    FILE_LIMIT,
    IGNORE_FILE,
    PROJECT_LIMIT,
    ProjectFiles,
    check_size,
    nothing_ignored,
    project_files,
)
from fabric_jobs.runtime.cortex_command.refused import Refused
from fabric_jobs.user_files import read_text

if TYPE_CHECKING:
    from fabric_jobs.runtime.cortex_command.files import Ignore


def collected(config: Path, limit: int) -> ProjectFiles:
    """Return the files that are sent with an API file.

    Raises RecordTooLarge above `limit` bytes, InvalidDefinition for a wrong .cortexignore, InvalidInput for what cannot be read.
    """
    try:
        found = project_files(str(config), ignored_by(config.absolute().parent))
        check_size(found, limit)
    except Refused as error:
        raise translated(error) from error
    return found


def ignored_by(directory: Path) -> Ignore:
    """Return what the .cortexignore in a directory ignores; it has the syntax of .gitignore."""
    path = directory / IGNORE_FILE
    try:
        lines = read_text(path).splitlines()
    except FileNotFoundError:
        return nothing_ignored
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror or error}.") from error
    from pathspec import GitIgnoreSpec  # late: few projects have such a file

    patterns: list[tuple[re.Pattern[str], bool]] = []
    for number, line in enumerate(lines, start=1):
        try:
            found = [(each.regex, bool(each.include)) for each in GitIgnoreSpec.from_lines([line]).patterns]
        except ValueError:
            message = f"'{line.strip()}' is not a pattern of .gitignore"
            raise InvalidDefinition((Problem.of_file(path, message, line=number),)) from None
        patterns += [(_whole(regex), is_ignored) for regex, is_ignored in found if regex is not None]
    return partial(_is_ignored, patterns[::-1])


def _is_ignored(patterns: Sequence[tuple[re.Pattern[str], bool]], name: str) -> bool:
    """Return what the first pattern that matches says; patterns begin with the last line.

    Like git, this looks at a name alone: what is below an ignored directory is never asked about. The expressions of the library
    also match what is below a match, unless they must match all of a name, or have no mark of a directory.
    """
    for regex, is_ignored in patterns:
        if regex.fullmatch(name) if regex.groupindex else regex.search(name.rstrip("/")):
            return is_ignored
    return False


def _whole(regex: re.Pattern[str]) -> re.Pattern[str]:
    """Return an expression that can match all of a name."""
    is_anchored = regex.pattern.startswith("^") or not regex.groupindex
    return regex if is_anchored else re.compile(f".*{regex.pattern}", re.DOTALL)


def translated(error: Refused) -> InvalidInput:
    """Return the error of the runtime layer as one of ours."""
    kind = RecordTooLarge if error.kind in (FILE_LIMIT, PROJECT_LIMIT) else InvalidInput
    return kind(error.message, hint=error.hint)

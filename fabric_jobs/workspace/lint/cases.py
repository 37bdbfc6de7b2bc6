"""Checks the test messages of a skill or an agent, and their expectations."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from fabric_jobs import json_text
from fabric_jobs.errors import InvalidInput, Problem, shown
from fabric_jobs.user_files import read_text
from fabric_jobs.workspace.testing.cases import Case


def case_problems(found: Iterable[Case]) -> Iterator[Problem]:
    """Yield the problems of each case; if its message is invalid, its expectation is not checked."""
    for case in found:
        if case.problem:
            yield Problem.of_file(case.directory, case.problem, level="warning")
        elif problems := list(_message_problems(case.message)):
            yield from problems
        else:
            yield from _expected_problems(case)


def _message_problems(path: Path) -> Iterator[Problem]:
    """Yield the problems of a message.json, which must be a JSON object with a payload."""
    try:
        message = json_text.loads(read_text(path), levels=json_text.DEPTH + 1)
    except json.JSONDecodeError as error:
        yield Problem.of_file(path, f"the file is not JSON: {error.msg}", line=error.lineno, column=error.colno)
    except OSError as error:
        yield Problem.of_file(path, f"the file cannot be read: {error.strerror}")
    except ValueError as error:
        yield Problem.of_file(path, f"the file is not a message: {error}")
    else:
        if not isinstance(message, dict) or "payload" not in message:
            yield Problem.of_file(path, "the message has no 'payload'; write {\"payload\": …}", line=1, column=1)


def _expected_problems(case: Case) -> Iterator[Problem]:
    """Yield the problems of an expected.json."""
    try:
        case.expectation()
    except InvalidInput as error:
        message = f"{error.message} {error.hint}".rstrip().removeprefix(f"{shown(case.expected)} ")
        yield Problem.of_file(case.expected, message)

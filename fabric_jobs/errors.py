"""All errors that a user or a caller can see.

    FabricJobsError
    ├── InvalidInput          the input is wrong, typed or posted
    │   ├── RecordTooLarge    a record or a body is over its limit
    │   ├── WrongRequest      a request to a Batch or Task API is wrong; holds Cortex Labs' word for it
    │   └── InvalidDefinition a YAML file is wrong; holds all its problems
    ├── NotFound              no such skill, agent, activation, task, …
    ├── AlreadyExists         it exists, and is never overwritten
    ├── InUse                 something else needs the thing to be deleted
    ├── RunFailed             an activation ended other than COMPLETE
    ├── StaleAttempt          a request from an attempt that is not the current one (409)
    ├── ReplayDiffers         a new attempt sent other records than the one before
    ├── NotThereYet           Fabric has it, but this version does not
    ├── NotAllowed            the token is missing or bad
    │   └── Forbidden         it is good, but its role or its project does not allow this
    └── PlaceUnavailable      the owner, the disk or an executor cannot be reached
        └── ExecutorUnavailable  "cannot tell": the place did not answer

Exit codes and HTTP codes are chosen at the edges: `fabric_jobs.cli.terminal.exits` and `fabric_jobs.gateway.errors`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path  # its import takes 3 ms, too long for `--help`

UNFORESEEN = "an unexpected error"  # in the owner's log, where the doctor looks for it


class FabricJobsError(Exception):
    """The base of all errors. `message` says what, where and why; `hint` says what to do next (may be empty)."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class InvalidInput(FabricJobsError):
    """The input is wrong, typed or posted."""


class RecordsDamaged(InvalidInput):
    """A file of records or content was changed, truncated or removed by something else: whatever needs it cannot go on."""


class RecordTooLarge(InvalidInput):
    """A record or a request body is over its limit (docs/reference/settings.md)."""


class WrongRequest(InvalidInput):
    """A request to a Batch or Task API is wrong. `kind` is Cortex Labs' word for what is wrong, such as `job.not_found`."""

    def __init__(self, message: str, *, kind: str = "error", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.kind = kind


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing wrong in one file."""

    file: str  # as the user named it; empty for a document that came over HTTP
    line: int  # from 1; 0 where the document has no lines
    column: int  # from 1; 0 where the document has no lines
    path: str  # where in the document, such as `inputs[0].routing.all.action`
    message: str  # what is wrong, and what to do
    level: str = "error"  # error | warning

    @classmethod
    def of_file(
        cls, file: Path, message: str, *, line: int = 0, column: int = 0, path: str = "", level: str = "error"
    ) -> Problem:
        """Return a problem of a file; a line without a column means column 1."""
        column = column or min(line, 1)
        return cls(file=shown(file), line=line, column=column, path=path, message=message, level=level)

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}: " if self.line else (f"{self.file}: " if self.file else "")
        where = f"{self.path}: " if self.path else ""
        return f"{place}{self.level}: {where}{self.message}"


def shown(path: Path) -> str:
    """Return a path for messages: relative when it is below the current directory, else absolute."""
    try:
        return str(path.relative_to(path.cwd()))
    except ValueError:
        return str(path)


class InvalidDefinition(InvalidInput):
    """A definition is wrong. `problems` holds all its problems, in the order of the file."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class NotFound(FabricJobsError):
    """There is no such thing."""


class AlreadyExists(FabricJobsError):
    """It exists, and nothing is ever overwritten.

    `activation_id` names an existing activation; `differences` holds (key, message) of what is not as there.
    """

    def __init__(
        self, message: str, *, hint: str = "", activation_id: str = "", differences: tuple[tuple[str, str], ...] = ()
    ) -> None:
        super().__init__(message, hint=hint)
        self.activation_id = activation_id
        self.differences = differences


class InUse(FabricJobsError):
    """Something else needs the thing to be deleted. `users` holds (kind, name) of whatever needs it."""

    def __init__(self, message: str, *, users: tuple[tuple[str, str], ...] = (), hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.users = users


class RunFailed(FabricJobsError):
    """An activation ended other than COMPLETE."""


class StaleAttempt(FabricJobsError):
    """The request came from an attempt that is not the current one of its task; it must stop (exit code 75)."""


class ReplayDiffers(FabricJobsError):
    """A new attempt's first records are not those that the attempt before it sent."""


class NotThereYet(FabricJobsError):
    """Fabric has it, but this version does not: what is unsupported is refused, never ignored."""


class NotAllowed(FabricJobsError):
    """The token is missing, wrong, expired, or not made for this."""


class Forbidden(NotAllowed):
    """The token is good, but its role or its project does not allow this."""


class PlaceUnavailable(FabricJobsError):
    """Something that is needed cannot be reached: the owner, the disk, the port."""


class ExecutorUnavailable(PlaceUnavailable):
    """The place did not answer, so the state of an attempt is unknown; ask again later."""

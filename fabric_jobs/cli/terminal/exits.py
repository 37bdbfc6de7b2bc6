"""The exit code of each error (docs/reference/settings.md); that of a signal is 128 plus its number."""

from __future__ import annotations

from fabric_jobs.errors import (
    AlreadyExists,
    FabricJobsError,
    InUse,
    InvalidDefinition,
    InvalidInput,
    NotAllowed,
    NotFound,
    NotThereYet,
    PlaceUnavailable,
    RunFailed,
)

FAILED, USAGE, MISSING, INVALID, UNAVAILABLE = range(1, 6)

EXIT_CODES: tuple[tuple[type[FabricJobsError], int], ...] = (
    (RunFailed, FAILED),
    (InvalidDefinition, INVALID),
    (InvalidInput, USAGE),
    (AlreadyExists, USAGE),
    (InUse, USAGE),
    (NotThereYet, USAGE),
    (NotFound, MISSING),
    (NotAllowed, UNAVAILABLE),
    (PlaceUnavailable, UNAVAILABLE),
)


def exit_code_of(error: FabricJobsError) -> int:
    """Return the exit code of an error."""
    return next((code for kind, code in EXIT_CODES if isinstance(error, kind)), FAILED)

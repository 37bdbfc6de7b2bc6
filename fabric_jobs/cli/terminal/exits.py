"""Which exit code an error has (docs/reference/settings.md): 1 failed, 2 usage, 3 not found, 4 invalid, 5 unavailable."""

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

EXIT_CODES: tuple[tuple[type[FabricJobsError], int], ...] = (
    (RunFailed, 1),
    (InvalidDefinition, 4),
    (InvalidInput, 2),
    (AlreadyExists, 2),
    (InUse, 2),
    (NotThereYet, 2),
    (NotFound, 3),
    (NotAllowed, 5),
    (PlaceUnavailable, 5),
)


def exit_code_of(error: FabricJobsError) -> int:
    """Return the exit code of an error."""
    return next((code for kind, code in EXIT_CODES if isinstance(error, kind)), 1)

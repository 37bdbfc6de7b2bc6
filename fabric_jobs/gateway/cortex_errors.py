"""Errors in the form of Cortex Labs: HTTP 400 with {kind, message}, whatever was wrong (docs/reference/jobs.md#errors)."""

from __future__ import annotations

from fabric_jobs.errors import FabricJobsError, NotAllowed, PlaceUnavailable, RecordsDamaged, WrongRequest
from fabric_jobs.gateway.errors import error_json, headers_of, status_of
from fabric_jobs.gateway.json_response import Json

# Its callers had no tokens, and nothing could be away for a while: these keep their status.
OURS = (NotAllowed, PlaceUnavailable, RecordsDamaged)


def answer_cortex_error(error: FabricJobsError) -> Json:
    """Answer one of our errors; beside `kind` and `message` there is what all our errors have."""
    kind = error.kind if isinstance(error, WrongRequest) else "error"
    status = status_of(error) if isinstance(error, OURS) else 400
    return Json({"kind": kind, **error_json(error)}, status_code=status, headers=headers_of(error))

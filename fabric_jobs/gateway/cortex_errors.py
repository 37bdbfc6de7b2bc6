"""Errors in the form of Cortex Labs: HTTP 400 with {kind, message}, whatever was wrong (docs/reference/jobs.md#errors)."""

from __future__ import annotations

from fabric_jobs.errors import FabricJobsError, NotAllowed, NotFound, PlaceUnavailable, RecordsDamaged, WrongRequest
from fabric_jobs.gateway.errors import error_json, headers_of, status_of
from fabric_jobs.gateway.json_response import Json

# Its callers had no tokens, nothing could be away for a while, and the router knew all endpoints: these keep their status.
OURS = (NotAllowed, PlaceUnavailable, RecordsDamaged, NotFound)
NOT_DEPLOYED = "resources.api_not_deployed"


def answer_cortex_error(error: FabricJobsError) -> Json:
    """Answer one of our errors; beside `kind` and `message` there is what all our errors have."""
    kind = NOT_DEPLOYED if isinstance(error, NotFound) else "error"
    kind = error.kind if isinstance(error, WrongRequest) else kind
    status = status_of(error) if isinstance(error, OURS) else 400
    return Json({"kind": kind, **error_json(error)}, status_code=status, headers=headers_of(error))

"""Which HTTP code an error has, and how it reads: {success, message, details} (reference/fabric.md 6.3)."""

from __future__ import annotations

from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request

from fabric_jobs.errors import (
    AlreadyExists,
    FabricJobsError,
    InvalidDefinition,
    InvalidInput,
    NotAllowed,
    NotFound,
    PlaceUnavailable,
    RecordTooLarge,
    ReplayDiffers,
    StaleAttempt,
)
from fabric_jobs.gateway.json_response import Json

STATUS: tuple[tuple[type[FabricJobsError], int], ...] = (
    (RecordTooLarge, 413),
    (InvalidInput, 400),
    (NotFound, 404),
    (AlreadyExists, 409),
    (StaleAttempt, 409),
    (ReplayDiffers, 409),
    (NotAllowed, 401),
    (PlaceUnavailable, 503),
)


def status_of(error: FabricJobsError) -> int:
    """Return the HTTP code of an error."""
    return next((status for kind, status in STATUS if isinstance(error, kind)), 500)


async def answer_error(request: Request, error: Exception) -> Json:
    """Answer one of our errors."""
    assert isinstance(error, FabricJobsError)
    body: dict[str, Any] = {"success": False, "message": error.message, "error": type(error).__name__}
    if error.hint:
        body["hint"] = error.hint
    if isinstance(error, InvalidDefinition):
        body["details"] = [{"path": problem.path.split("."), "message": problem.message} for problem in error.problems]
    headers = {"x-auth-error": error.message} if isinstance(error, NotAllowed) else {}
    return Json(body, status_code=status_of(error), headers=headers)


async def answer_http_error(request: Request, error: Exception) -> Json:
    """Answer what the router found: no such route, wrong method."""
    assert isinstance(error, HTTPException)
    body = {"success": False, "message": f"{request.method} {request.url.path}: {error.detail}."}
    if error.status_code == 404:
        body["error"] = NotFound.__name__
    return Json(body, status_code=error.status_code)


async def answer_bug(request: Request, error: Exception) -> Json:
    """Answer what should not happen; the server logs it."""
    body = {"success": False, "message": f"an error in the gateway: {error!r}.", "hint": "Its log tells more."}
    return Json(body, status_code=500)


ERROR_HANDLERS = {FabricJobsError: answer_error, HTTPException: answer_http_error, Exception: answer_bug}

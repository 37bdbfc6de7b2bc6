"""Turns errors into responses: HTTP status and {success, message, details} (docs/reference/http.md)."""

from __future__ import annotations

import re
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from fabric_jobs.errors import (
    AlreadyExists,
    FabricJobsError,
    Forbidden,
    InUse,
    InvalidDefinition,
    InvalidInput,
    NotAllowed,
    NotFound,
    NotThereYet,
    PlaceUnavailable,
    RecordsDamaged,
    RecordTooLarge,
    ReplayDiffers,
    RunFailed,
    StaleAttempt,
)
from fabric_jobs.gateway.json_response import Json

PARAMETER = re.compile(r"\{[^}]*\}")
STATUS: tuple[tuple[type[FabricJobsError], int], ...] = (
    (RecordTooLarge, 413),
    (RecordsDamaged, 500),
    (InvalidInput, 400),
    (NotFound, 404),
    (AlreadyExists, 409),
    (InUse, 403),
    (StaleAttempt, 409),
    (ReplayDiffers, 409),
    (RunFailed, 422),
    (Forbidden, 403),
    (NotAllowed, 401),
    (NotThereYet, 501),
    (PlaceUnavailable, 503),
)


def status_of(error: FabricJobsError) -> int:
    """Return the HTTP code of an error."""
    return next((status for kind, status in STATUS if isinstance(error, kind)), 500)


async def answer_error(request: Request, error: Exception) -> Json:
    """Answer one of our errors."""
    assert isinstance(error, FabricJobsError)
    body = error_json(error)
    if request.url.path.endswith("/graphql"):  # where a GraphQL client looks
        body["errors"] = [{"message": error.message}]
    if isinstance(error, InvalidDefinition):
        body["details"] = [{"path": problem.path.split("."), "message": problem.message} for problem in error.problems]
    if isinstance(error, AlreadyExists) and error.activation_id:
        body["activationId"] = error.activation_id
        body["details"] = [{"path": [key], "message": message} for key, message in error.differences]
    if isinstance(error, InUse):
        body["details"] = [{"name": name, "type": kind} for kind, name in error.users]
    return Json(body, status_code=status_of(error), headers=headers_of(error))


def error_json(error: FabricJobsError) -> dict[str, Any]:
    """Return what the answers to all errors have."""
    body: dict[str, Any] = {"success": False, "message": error.message, "error": type(error).__name__}
    return {**body, "hint": error.hint} if error.hint else body


def headers_of(error: FabricJobsError) -> dict[str, str]:
    """Return the header that only refused tokens have: docs/reference/compatibility.md#tokens."""
    return {"x-auth-error": _header_of(error.message)} if isinstance(error, NotAllowed) else {}


def _header_of(message: str) -> str:
    """Return a message as the value of a header, in which nothing of the request may begin another one."""
    return "".join(character if " " <= character <= "~" else "?" for character in message)


async def answer_http_error(request: Request, error: Exception) -> Json:
    """Answer an error of the router: no such route (docs/reference/compatibility.md#routes-out-of-scope), or a wrong method."""
    assert isinstance(error, HTTPException)
    body = {"success": False, "message": f"{request.method} {request.url.path}: {error.detail}."}
    if error.status_code == 404:
        body["error"] = NotFound.__name__
    headers = {"allow": ", ".join(_methods(request))} if error.status_code == 405 else error.headers
    return Json(body, status_code=error.status_code, headers=headers)


def _methods(request: Request) -> list[str]:
    """Return the methods of a path; of the routes that match, those with the most literal characters count."""
    found: dict[str, set[str]] = {}
    for route in request.app.routes:
        if isinstance(route, Route) and route.path_regex.match(request.scope["path"]):
            found.setdefault(route.path, set()).update(route.methods or ())
    return sorted(found[max(found, key=_said_literally)]) if found else []


def _said_literally(path: str) -> int:
    return len(PARAMETER.sub("", path))


async def answer_nobody(request: Request, error: Exception) -> Response:
    """Answer a caller that has disconnected: nothing was done, and nobody reads this."""
    return Response(status_code=400)


async def answer_bug(request: Request, error: Exception) -> Json:
    """Answer an unexpected error, which the server logs."""
    body = {"success": False, "message": f"an error in the gateway: {error!r}.", "hint": "See its log."}
    return Json(body, status_code=500)


ERROR_HANDLERS = {
    FabricJobsError: answer_error,
    HTTPException: answer_http_error,
    ClientDisconnect: answer_nobody,
    Exception: answer_bug,
}

"""Checks what the caller of a route may do, and whether it is a command on the owner's socket."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from starlette.requests import Request

from fabric_jobs.engine import tokens
from fabric_jobs.errors import Forbidden, InvalidInput, NotAllowed, NotFound
from fabric_jobs.gateway.access import Visitor
from fabric_jobs.gateway.parameters import Parameter
from fabric_jobs.gateway.parts import parts_of
from fabric_jobs.shell import SHELL, Shell, shell_of

NOBODY = Visitor("", "read", "-")  # no project has this name
ANYBODY = "anybody"  # the username of callers without a token


def authorize(request: Request, role: str) -> Visitor:
    """Return the caller of a route that needs `role`, and note it for the functions below.

    Raises NotAllowed for a bad token, Forbidden for one that is good for something else, NotFound for an unknown project.
    """
    access, project = parts_of(request).access, request.path_params.get("project")
    caller = access.caller_of(bearer(request))
    if caller.attempt:
        _check_peer(request)
    if project is not None and caller.project not in ("", project):
        raise Forbidden(f"the token of '{caller.username}' is good only for project '{caller.project}'.")
    if not caller.may(role):
        raise Forbidden(
            f"this needs the role '{role}', and the token of '{caller.username}' has '{caller.role}'."
            if role != "owner"
            else "only the user whom this gateway runs as may do this, with the token in owner.json."
        )
    if project is not None and not access.has_project(project):
        raise NotFound(
            f"there is no project '{project}'.", hint="The owner's user can make it: fabric-jobs projects create NAME"
        )
    request.scope["caller"] = caller
    return caller


def is_welcome(request: Request) -> bool:
    """Let a caller without a token use a route that may be open, and note it; return False if it needs a token."""
    settings = parts_of(request).settings
    if not settings.open_apis or "authorization" in request.headers:
        return False
    request.scope["caller"] = Visitor(ANYBODY, "run", settings.project_id)
    return True


def caller_of(request: Request) -> Visitor:
    """Return the caller that `authorize` has found; one without any rights if the route takes no token."""
    caller: Visitor = request.scope.get("caller", NOBODY)
    return caller


def task_claims(request: Request) -> dict[str, Any]:
    """Return the claims of a task's token; raise NotAllowed if it is not one of ours or another user shows it."""
    parts, token = parts_of(request), bearer(request)
    claims = parts.live.claims.get(token)
    if claims is None or claims["exp"] < time.time():
        claims = tokens.verify(token, parts.key)
        parts.live.claims.put(token, claims)
    _check_peer(request)
    return claims


def bearer(request: Request) -> str:
    """Return the bearer token of a request."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not token:
        raise NotAllowed("there is no bearer token.")
    return token.strip()


def over_tcp(request: Request) -> bool:
    """Tell whether a request may come from another machine; one over the Unix socket has no address."""
    return request.scope.get("client") is not None


def is_owners_command(request: Request) -> bool:
    """Tell whether a request comes from a command of the owner's user on the owner's socket, so that it may name files here."""
    return caller_of(request).is_owner and not over_tcp(request)


def owners_own(request: Request, header: Parameter[str]) -> str:
    """Return a header that names a directory of this machine; raise InvalidInput unless it came over the owner's socket."""
    value = header.of(request)
    if value and not is_owners_command(request):
        raise InvalidInput(
            f"'{header.name}' names a directory of the gateway's machine, and is taken over its Unix socket only.",
            hint="Leave the header out; a skill that is saved without its files runs from its image.",
        )
    return unquote(value)


def handed_over(request: Request, body: Mapping[str, Any]) -> Shell | None:
    """Return the shell of the calling command; raise InvalidInput unless it came over the owner's socket."""
    if body.get(SHELL) is None:
        return None
    if not is_owners_command(request):
        raise InvalidInput(
            f"'{SHELL}' is taken over the gateway's Unix socket only.",
            hint="Leave it out; programs then have the environment of the gateway.",
        )
    return shell_of(body[SHELL])


def _check_peer(request: Request) -> None:
    if not request.scope["state"]["peer"].may_act_for_tasks:
        raise NotAllowed(
            "the token of a task is taken from programs of this gateway's own user only.",
            hint="Run the program as that user, or in a container that fabric-jobs starts.",
        )

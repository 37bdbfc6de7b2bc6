"""Authenticates callers: the owner's user, a program with the token of its task, or a command on the owner's socket."""

from __future__ import annotations

import hmac
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from starlette.requests import Request

from fabric_jobs.engine import tokens
from fabric_jobs.errors import InvalidInput, NotAllowed
from fabric_jobs.gateway.parameters import Parameter
from fabric_jobs.gateway.parts import parts_of
from fabric_jobs.shell import SHELL, Shell, shell_of


def user_of(request: Request) -> None:
    """Raise NotAllowed for a caller without the owner's token."""
    parts = parts_of(request)
    if not hmac.compare_digest(bearer(request).encode(), parts.token.encode()):
        raise NotAllowed(
            "the token is not that of this gateway's user.", hint="It is in owner.json of the state directory."
        )


def task_claims(request: Request) -> dict[str, Any]:
    """Return the claims of a task's token; raise NotAllowed if it is not one of ours or another user shows it."""
    parts, token = parts_of(request), bearer(request)
    claims = parts.live.claims.get(token)
    if claims is None or claims["exp"] < time.time():
        claims = tokens.verify(token, parts.key)
        parts.live.claims.put(token, claims)
    if not request.scope["state"]["peer"].may_act_for_tasks:
        raise NotAllowed(
            "the token of a task is taken from programs of this gateway's own user only.",
            hint="Run the program as that user, or in a container that fabric-jobs starts.",
        )
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


def owners_own(request: Request, header: Parameter[str]) -> str:
    """Return a header that names a directory of this machine; raise InvalidInput unless it came over the owner's socket."""
    value = header.of(request)
    if value and over_tcp(request):
        raise InvalidInput(
            f"'{header.name}' names a directory of the gateway's machine, and is taken over its Unix socket only.",
            hint="Leave the header out; a skill that is saved without its files runs from its image.",
        )
    return unquote(value)


def handed_over(request: Request, body: Mapping[str, Any]) -> Shell | None:
    """Return the shell of the calling command; raise InvalidInput unless it came over the owner's socket."""
    if body.get(SHELL) is None:
        return None
    if over_tcp(request):
        raise InvalidInput(
            f"'{SHELL}' is taken over the gateway's Unix socket only.",
            hint="Leave it out; programs then have the environment of the gateway.",
        )
    return shell_of(body[SHELL])

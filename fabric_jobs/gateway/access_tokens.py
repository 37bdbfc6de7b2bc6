"""Personal tokens: make, list, revoke. The gateway gets only the public half of a key."""

from __future__ import annotations

import asyncio
import re
import time
from typing import Any

from starlette.responses import Response

from fabric_jobs.errors import InvalidInput
from fabric_jobs.gateway.access import GIVEN
from fabric_jobs.gateway.answers import milliseconds
from fabric_jobs.gateway.json_response import Json
from fabric_jobs.gateway.operation import Call, Operation
from fabric_jobs.gateway.parameters import P
from fabric_jobs.personal_tokens import AUDIENCE, ISSUER, public_key
from fabric_jobs.records import AccessToken
from fabric_jobs.store import access

NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9@._+-]{0,126}[A-Za-z0-9])?")
OWNER = "local"  # the username of the owner's user
LONGEST_SECONDS = 1e12


async def create_token(call: Call) -> Response:
    """Let a new key call as `name`, with a role in the project; the private half stays with the caller.

    The same request may be repeated. Any other token of the same name is a 409.
    """
    parts, body = call.parts, call.object
    public = _key(body.get("jwk"))
    seconds = _seconds(body.get("expiresInSeconds"))
    now = time.time()
    new = AccessToken(
        kid=public["kid"],
        project_id=call.project,
        name=_name(body.get("name")),
        role=_role(body.get("role", "run")),
        public_key=public["x"],
        created_by=call.caller.username,
        created_at=now,
        expires_at=None if seconds is None else now + seconds,
    )
    await asyncio.wrap_future(parts.store.write(lambda tx: access.add_token(tx, new)))
    return Json({"success": True, "token": token_json(new), "issuer": ISSUER, "audience": AUDIENCE})


async def list_tokens(call: Call) -> Response:
    """List the personal tokens of the project by name, expired ones too."""
    found = access.tokens(call.parts.store.read, call.project)
    return Json({"success": True, "tokens": [token_json(token) for token in found]})


async def revoke_token(call: Call) -> Response:
    """Revoke a personal token at once; a missing one is not an error, since a request may be repeated.

    `revoked` is false when it was gone already.
    """
    parts, name = call.parts, call.path_params["token"]
    revoked = await asyncio.wrap_future(parts.store.write(lambda tx: access.revoke(tx, call.project, name)))
    parts.access.forget()
    return Json({"success": True, "revoked": revoked})


def token_json(token: AccessToken) -> dict[str, Any]:
    """Return a token as the API shows it."""
    return {
        "name": token.name,
        "project": token.project_id,
        "role": token.role,
        "kid": token.kid,
        "createdBy": token.created_by,
        "createdAt": milliseconds(token.created_at),
        "expiresAt": milliseconds(token.expires_at),
    }


def _name(value: object) -> str:
    if not isinstance(value, str) or not NAME.fullmatch(value) or value == OWNER:
        raise InvalidInput(
            f"'name' of a token is 1 to 128 letters, digits and @ . _ + -, and not '{OWNER}'.",
            hint="Name the person or the program that calls, such as anna@example.org or nightly.",
        )
    return value


def _role(value: object) -> str:
    if value not in GIVEN:
        raise InvalidInput(f"'role' of a token is {', '.join(GIVEN[:-1])} or {GIVEN[-1]}.")
    return str(value)


def _key(value: object) -> dict[str, str]:
    try:
        if not isinstance(value, dict) or (value.get("kty"), value.get("crv")) != ("OKP", "Ed25519"):
            raise ValueError("it is not an Ed25519 key")
        if "d" in value:
            raise ValueError("it has its private half, which belongs to the caller only")
        return public_key(str(value.get("x")))
    except ValueError as error:
        hint = 'Give the public half of a new key, such as {"kty": "OKP", "crv": "Ed25519", "x": "…"}.'
        raise InvalidInput(f"'jwk' is not a key for a token: {error}.", hint=hint) from error


def _seconds(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= LONGEST_SECONDS:
        raise InvalidInput("'expiresInSeconds' is a positive number, or null for a token that never expires.")
    return float(value)


TOKENS = P + "/tokens"
OPERATIONS = (
    Operation("POST", TOKENS, create_token, body="NewToken", answer="TokenMade", errors=("404", "409")),
    Operation("GET", TOKENS, list_tokens, answer="Tokens", role="admin"),
    Operation("DELETE", TOKENS + "/{token}", revoke_token, answer="Revoked"),
)

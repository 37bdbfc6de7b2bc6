"""The JSON Schemas of projects and personal tokens, for the documentation only."""

from __future__ import annotations

from typing import Any

from fabric_jobs.gateway.shapes import (
    MAYBE_MILLISECONDS,
    MILLISECONDS,
    TEXT,
    YES_OR_NO,
    good,
    listed,
    record,
    ref,
    said,
)

ROLE = {"enum": ["read", "run", "admin"]}
ACCESS: dict[str, Any] = {
    "NewToken": record(
        {
            "name": {
                **said("string", "Who calls with it: the username of its calls."),
                "pattern": "^[A-Za-z0-9]([A-Za-z0-9@._+-]{0,126}[A-Za-z0-9])?$",
                "not": {"const": "local"},
            },
            "jwk": record(
                {
                    "kty": {"const": "OKP"},
                    "crv": {"const": "Ed25519"},
                    "x": {"type": "string", "pattern": "^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$"},  # 32 bytes
                },
            ),
        },
        role={**ROLE, "default": "run"},
        expiresInSeconds={
            "type": ["number", "null"],
            "exclusiveMinimum": 0,
            "maximum": 1e12,
            "description": "Null: it never expires.",
        },
    ),
    "Token": record(
        {"name": TEXT, "project": TEXT, "role": ROLE, "kid": TEXT, "createdBy": TEXT, "createdAt": MILLISECONDS},
        expiresAt=MAYBE_MILLISECONDS,
    ),
    "TokenMade": good(token=ref("Token"), issuer=TEXT, audience=TEXT),
    "Tokens": listed("tokens", "Token"),
    "Revoked": good(revoked=YES_OR_NO),
    "GraphQuery": record({"query": TEXT}, variables={"type": ["object", "null"]}),
    "GraphAnswer": record({"data": {"type": "object"}}),
}

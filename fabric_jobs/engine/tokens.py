"""Tokens of tasks: three-part JWTs, HS256.

PyJWT could do this, but importing it takes a third of the time allowed for a cold `skills invoke`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any

from fabric_jobs.errors import NotAllowed

HEADER = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').rstrip(b"=").decode()
LIFETIME_SECONDS = 30 * 86_400.0


def sign(claims: dict[str, Any], key: bytes, *, lifetime_seconds: float = LIFETIME_SECONDS) -> str:
    """Return a token with `claims`, valid for `lifetime_seconds`."""
    body = _encode(json.dumps({**claims, "exp": int(time.time() + lifetime_seconds)}, separators=(",", ":")).encode())
    return f"{HEADER}.{body}.{_encode(_mac(f'{HEADER}.{body}', key))}"


def verify(token: str, key: bytes) -> dict[str, Any]:
    """Return the claims of a token; raise NotAllowed when it is not ours or has expired."""
    header, _, rest = token.partition(".")
    body, _, mac = rest.partition(".")
    if header != HEADER or not hmac.compare_digest(mac.encode(), _encode(_mac(f"{header}.{body}", key)).encode()):
        raise NotAllowed("the token was not signed by this gateway.")
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    if claims["exp"] < time.time():
        raise NotAllowed("the token has expired.")
    return claims


def _mac(text: str, key: bytes) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def _encode(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()

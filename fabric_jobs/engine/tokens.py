"""Tokens of tasks, and of the owner's user: three-part JWTs, HS256.

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
OWNERS_END = 4_102_444_800  # the beginning of the year 2100


def sign(claims: dict[str, Any], key: bytes, *, lifetime_seconds: float = LIFETIME_SECONDS) -> str:
    """Return a token with `claims`, valid for `lifetime_seconds`."""
    return _signed({**claims, "exp": int(time.time() + lifetime_seconds)}, key)


def of_owner(secret: str) -> str:
    """Return the token of the owner's user. It is good as long as the state directory has this secret, so it has a far `exp`."""
    return _signed({"sub": "local", "aud": "cortex", "exp": OWNERS_END}, secret.encode())


def is_of_task(token: str) -> bool:
    """Return whether a token has the form of those that `sign` makes."""
    return token.startswith(f"{HEADER}.")


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


def _signed(claims: dict[str, Any], key: bytes) -> str:
    body = _encode(json.dumps(claims, separators=(",", ":")).encode())
    return f"{HEADER}.{body}.{_encode(_mac(f'{HEADER}.{body}', key))}"


def _mac(text: str, key: bytes) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def _encode(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()

"""Personal tokens in Fabric's form: an Ed25519 key of one person or program, which signs short JWTs.

`cryptography` is imported by the functions that need it, since most commands do not.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from dataclasses import dataclass
from typing import Any

from fabric_jobs import json_text
from fabric_jobs.errors import NotAllowed

ISSUER, AUDIENCE = "cognitivescale.com", "cortex"
ALGORITHM = "EdDSA"
KEY_BYTES = 32
TOKENS = "The owner's user finds one in owner.json of the state directory; for others, see `fabric-jobs tokens create`."
Jwk = dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Presented:
    """A JWT as it came; nothing in it is true before `verify`."""

    kid: str
    claims: dict[str, Any]
    signed: bytes  # header and claims, as they were signed
    signature: bytes

    @classmethod
    def read(cls, token: str) -> Presented:
        """Take a JWT apart; raise NotAllowed unless it is one that a personal token can have signed."""
        try:
            header, body, signature = token.split(".")
            head, claims = json_text.loads(_decoded(header)), json_text.loads(_decoded(body))
            kid, algorithm = head.get("kid"), head.get("alg")
            found = _decoded(signature)
        except (ValueError, AttributeError):
            raise NotAllowed("the token is not one of this gateway.", hint=TOKENS) from None
        if algorithm != ALGORITHM or not isinstance(kid, str) or not isinstance(claims, dict):
            raise NotAllowed(f"the token is not signed with {ALGORITHM} by a personal token.")
        return cls(kid=kid, claims=claims, signed=f"{header}.{body}".encode(), signature=found)

    def verify(self, public: str, username: str) -> float:
        """Return when it expires, in seconds since 1970; raise NotAllowed unless the key `public` of `username` signed it.

        Whether it has expired is for the caller to see, at each use. `iat` and `nbf` are ignored, for
        docs/reference/compatibility.md#tokens.
        """
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            Ed25519PublicKey.from_public_bytes(_decoded(public)).verify(self.signature, self.signed)
        except InvalidSignature:
            raise NotAllowed("the signature of the token is wrong.") from None
        audience, expires_at = self.claims.get("aud"), self.claims.get("exp")
        if self.claims.get("iss") != ISSUER:
            raise NotAllowed(f"'iss' of the token is not '{ISSUER}'.")
        if AUDIENCE not in (audience if isinstance(audience, list) else [audience]):
            raise NotAllowed(f"'aud' of the token is not '{AUDIENCE}'.")
        if self.claims.get("sub") != username:
            raise NotAllowed("'sub' of the token is not the user of its key.")
        if isinstance(expires_at, bool) or not isinstance(expires_at, (int, float)) or not math.isfinite(expires_at):
            raise NotAllowed("'exp' of the token is not a time.")
        return float(expires_at)


def new_key() -> Jwk:
    """Return a new private key."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private = Ed25519PrivateKey.generate()
    public = _encoded(private.public_key().public_bytes_raw())
    return {**public_key(public), "d": _encoded(private.private_bytes_raw())}


def public_key(x: str) -> Jwk:
    """Return the public key with these bytes, in base64url; raise ValueError unless they are those of a key."""
    if len(_decoded(x)) != KEY_BYTES:
        raise ValueError(f"a key has {KEY_BYTES} bytes")
    return {"kty": "OKP", "crv": "Ed25519", "x": x, "kid": thumbprint(x)}


def thumbprint(x: str) -> str:
    """Return the name of a public key, as RFC 7638 makes it."""
    text = json.dumps({"crv": "Ed25519", "kty": "OKP", "x": x}, separators=(",", ":"))
    return _encoded(hashlib.sha256(text.encode()).digest())


def sign(key: Jwk, claims: dict[str, Any]) -> str:
    """Return a JWT with these claims; raise ValueError if `key` is not a private key."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    header = {"alg": ALGORITHM, "kid": key["kid"], "typ": "JWT"}
    text = ".".join(_encoded(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims))
    private = Ed25519PrivateKey.from_private_bytes(_decoded(key["d"]))
    return f"{text}.{_encoded(private.sign(text.encode()))}"


def _encoded(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    """Return the bytes of base64url; raise ValueError for any other spelling of them, so that a token has one spelling."""
    value = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if _encoded(value) != text:
        raise ValueError("this is not base64url")
    return value

"""The tokens of pools: their pods show them to the gateway, which knows them without asking a cluster."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from pathlib import Path

from fabric_jobs import whole_file

FILE = "kubernetes-pools"  # in the state directory: what names and tokens of pools are made from
NAME = re.compile(r"[0-9a-f]{16}")


def secret_of(root: Path) -> bytes:
    """Return the secret of an owner, made at its first use; `root` is the directory of attempts. Raises OSError."""
    path = root.parent / FILE
    if not path.exists():
        whole_file.write(path, secrets.token_hex(32), durable=True)
    return path.read_bytes()


def token_of(secret: bytes, pool: str) -> str:
    """Return the token of a pool."""
    return hmac.new(secret, f"token {pool}".encode(), hashlib.sha256).hexdigest()


def is_good(root: Path, pool: str, token: str) -> bool:
    """Return whether a token is that of a pool of this owner."""
    if not NAME.fullmatch(pool) or not were_made(root):
        return False
    return hmac.compare_digest(token_of(secret_of(root), pool).encode(), token.encode())


def were_made(root: Path) -> bool:
    """Return whether there may be tokens of this owner."""
    return (root.parent / FILE).exists()

"""Seals secrets with Fernet, with keys from a file that only this user can read (docs/howto/content-and-secrets.md#the-key)."""

from __future__ import annotations

import base64
import binascii
import json
import os
import stat
import threading
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fabric_jobs import whole_file
from fabric_jobs.errors import PlaceUnavailable

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

KEY_BYTES = 32
FILE_BYTES = 64 << 10


class Unsealable(Exception):
    """A sealed value was damaged, or its key is not in the file."""


class Keys:
    """The keys of a file, a line each, the newest first. Only the newest one seals; rotation adds one, then drops the others."""

    def __init__(self, path: Path) -> None:
        """Read the file, if there is one; raise PlaceUnavailable if it cannot be used. It is never replaced then."""
        self._path = path
        self._keys = {_id(key): key for key in _read(path)}
        self._changing = threading.Lock()

    @property
    def path(self) -> Path:
        """The file."""
        return self._path

    def __contains__(self, key_id: object) -> bool:
        return key_id in self._keys

    def seal(self, value: Any) -> tuple[str, bytes]:
        """Return the id of the newest key and a JSON value sealed with it; make the file if there is none."""
        with self._changing:
            if not self._keys:
                self._write([_new_key()])
            key_id, key = next(iter(self._keys.items()))
        return key_id, _fernet(key).encrypt(json.dumps(value, separators=(",", ":")).encode())

    def open(self, key_id: str, sealed: bytes) -> Any:
        """Return a sealed value; raise Unsealable."""
        from cryptography.fernet import InvalidToken  # late, like Fernet: most owners have no secrets

        try:
            return json.loads(_fernet(self._keys[key_id]).decrypt(sealed))
        except (KeyError, InvalidToken) as error:
            raise Unsealable from error

    def add(self) -> None:
        """Add a key, which is now the newest; raise PlaceUnavailable."""
        with self._changing:
            self._write([_new_key(), *self._keys.values()])

    def drop_old(self) -> None:
        """Drop all keys but the newest; raise PlaceUnavailable."""
        with self._changing:
            self._write([*self._keys.values()][:1])

    def _write(self, keys: list[bytes]) -> None:
        """Replace the file, durably, before any of its keys is used."""
        text = b"".join(base64.urlsafe_b64encode(key) + b"\n" for key in keys)
        try:
            whole_file.write(self._path, text, durable=True)
        except OSError as error:
            raise _unusable(
                self._path, f"it cannot be written: {error.strerror}", "Make its directory writable."
            ) from error
        self._keys = {_id(key): key for key in keys}


def _read(path: Path) -> list[bytes]:
    """Return the keys of a file, none if it is missing; raise PlaceUnavailable."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _unusable(path, error.strerror or str(error), "Make it readable for this user only.") from error
    try:
        _check(path, os.fstat(descriptor))
        lines = os.read(descriptor, FILE_BYTES).split()
    finally:
        os.close(descriptor)
    keys = [_key(line) for line in lines]
    if not keys or not all(keys):
        hint = "Put back the file that was there. A key is 32 random bytes in base64."
        raise _unusable(path, "it holds something else than keys", hint)
    return [key for key in keys if key]


def _check(path: Path, found: os.stat_result) -> None:
    """Raise PlaceUnavailable if others than this user, or root, could have read or written the file."""
    if not stat.S_ISREG(found.st_mode):
        raise _unusable(path, "it is not a file", "Name a file with FABRIC_JOBS_SECRETS_KEY_FILE.")
    is_roots = found.st_uid == 0 and os.getuid() != 0  # a cluster's volume belongs to root; its user reads by the group
    if found.st_uid not in (0, os.getuid()):
        raise _unusable(path, "it belongs to another user", "Make a copy that belongs to this user.")
    if found.st_mode & (0o037 if is_roots else 0o077):
        mode = stat.S_IMODE(found.st_mode)
        hint = f"Type `chmod 600 {path}`. If others may have read the key, type `fabric-jobs secrets rotate-key` then."
        raise _unusable(path, f"other users can access it (its mode is {mode:04o})", hint)


def _unusable(path: Path, why: str, hint: str) -> PlaceUnavailable:
    return PlaceUnavailable(f"the key file of the secrets, {path}, cannot be used: {why}.", hint=hint)


def _key(line: bytes) -> bytes | None:
    try:
        key = base64.b64decode(line.translate(bytes.maketrans(b"-_", b"+/")), validate=True)
    except binascii.Error:
        return None
    return key if len(key) == KEY_BYTES else None


def _new_key() -> bytes:
    return os.urandom(KEY_BYTES)


def _id(key: bytes) -> str:
    return blake2b(key, digest_size=8, person=b"secrets-key").hexdigest()


def _fernet(key: bytes) -> Fernet:
    from cryptography.fernet import Fernet

    return Fernet(base64.urlsafe_b64encode(key))

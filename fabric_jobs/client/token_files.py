"""Token files: a personal token in Fabric's form, with its private half."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fabric_jobs import json_text, personal_tokens
from fabric_jobs.errors import InvalidInput, NotFound
from fabric_jobs.personal_tokens import AUDIENCE, ISSUER, Jwk
from fabric_jobs.user_files import read_text

OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True, kw_only=True)
class TokenFile:
    """The contents of a token file."""

    url: str  # http(s)://HOST[:PORT]/px
    username: str
    key: Jwk
    project_id: str = "local"
    issuer: str = ISSUER
    audience: str = AUDIENCE

    @classmethod
    def read(cls, path: Path) -> TokenFile:
        """Read a file; raise NotFound, or InvalidInput if it is not a token file or other users can read it."""
        try:
            if path.stat().st_mode & OTHERS:
                raise InvalidInput(f"other users can read the token file {path}.", hint=f"Run: chmod 600 {path}")
            return cls.of(json_text.loads(read_text(path)))
        except FileNotFoundError:
            raise NotFound(f"there is no token file {path}.", hint="Make one: fabric-jobs tokens create NAME") from None
        except OSError as error:
            raise InvalidInput(f"the token file {path} cannot be read: {error.strerror}.") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidInput(
                f"{path} is not a token file: {error}.", hint="Make one: fabric-jobs tokens create NAME --file FILE"
            ) from error

    @classmethod
    def of(cls, document: Any) -> TokenFile:
        """Return the token file with these contents; raise ValueError, KeyError, TypeError or AttributeError for others."""
        names = {"url": "url", "username": "username", "issuer": "issuer", "audience": "audience"}
        given = {name: document[key] for name, key in names.items()}
        key = {name: document["jwk"][name] for name in ("kty", "crv", "x", "d", "kid")}
        project = document.get("project", "local")
        if not all(isinstance(value, str) for value in (*given.values(), *key.values(), project)):
            raise ValueError("a value is not a text")
        if key["kid"] != personal_tokens.public_key(key["x"])["kid"]:
            raise ValueError("'kid' is not the thumbprint of the key")
        found = cls(**given, key=key, project_id=project)
        found.sign(0)
        return found

    @property
    def text(self) -> str:
        """Return the contents as JSON."""
        document = {
            "jwk": self.key,
            "issuer": self.issuer,
            "audience": self.audience,
            "username": self.username,
            "url": self.url,
            "project": self.project_id,
        }
        return json.dumps(document, indent=2) + "\n"

    def write(self, path: Path) -> None:
        """Write a new file that only this user can read; raise InvalidInput if it cannot be written, or exists."""
        try:
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
                file.write(self.text)
        except OSError as error:
            raise InvalidInput(
                f"the token file {path} cannot be written: {error.strerror}.", hint="Choose another one with --file."
            ) from error

    def sign(self, until: float) -> str:
        """Return a JWT that is good until a time, in seconds since 1970; raise ValueError for a key that is none."""
        claims = {"sub": self.username, "aud": self.audience, "iss": self.issuer, "exp": int(until)}
        return personal_tokens.sign(self.key, claims)

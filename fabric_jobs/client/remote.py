"""Calls a remote gateway over TCP or TLS. `http.client` imports more slowly than our own client, but works with any proxy."""

from __future__ import annotations

import http.client
import json
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from fabric_jobs.client.token_files import TokenFile
from fabric_jobs.errors import InvalidInput
from fabric_jobs.runtime.fabric_skill.http import Answer, Disconnected

ANSWER_SECONDS = 120.0  # twice the longest long poll
SIGNED_SECONDS = 120.0  # how long a signed token is good
INFO = "/fabric/v4/info"


@dataclass(frozen=True, kw_only=True)
class Remote:
    """The address, the token and the project of a remote gateway."""

    url: str  # http(s)://HOST[:PORT][/PREFIX]
    token: str
    project_id: str = "local"
    key: TokenFile | None = None  # signs tokens; then `token` is empty

    def check(self) -> None:
        """Raise InvalidInput if this cannot be the address of a gateway."""
        hint = "Write http://HOST:PORT or https://HOST, as in owner.json of its state directory."
        try:
            parts = urlsplit(self.url)
            good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:
            good = False
        if not good or any(character.isspace() for character in self.url):
            raise InvalidInput(f"'{self.url}' is not the address of a gateway.", hint=hint)
        if self.key is None and (not self.token or not self.token.isascii() or not self.token.isprintable()):
            hint = (
                "Give --token, FABRIC_JOBS_TOKEN or a --profile; it is in owner.json of the gateway's state directory."
            )
            raise InvalidInput(f"there is no token for {self.url}.", hint=hint)


class RemoteConnection:
    """One keep-alive connection to a remote gateway."""

    def __init__(self, remote: Remote, *, seconds: float = ANSWER_SECONDS) -> None:
        parts = urlsplit(remote.url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._prefix = parts.path.rstrip("/")
        self._remote = remote
        self._token, self._renew_at = remote.token, 0.0
        self._connection = kind(str(parts.hostname), parts.port, timeout=seconds)

    def request(self, method: str, path: str, body: bytes = b"", *, headers: dict[str, str] | None = None) -> Answer:
        """Send a request and return its response; raise Disconnected if none comes."""
        wanted = {"Authorization": f"Bearer {self._bearer()}", "Content-Type": "application/json", **(headers or {})}
        return self._ask(method, path, body, wanted)

    def _bearer(self) -> str:
        """Return a token; sign a new one shortly before the last expires, by the gateway's clock."""
        key = self._remote.key
        if key is not None and time.monotonic() >= self._renew_at:
            try:
                now = float(json.loads(self._ask("GET", INFO, b"", {}).body)["serverTs"]) / 1000
            except (ValueError, KeyError, TypeError):  # not a gateway, or an older one
                now = time.time()
            self._token = key.sign(now + SIGNED_SECONDS)
            self._renew_at = time.monotonic() + SIGNED_SECONDS / 2
        return self._token

    def _ask(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        try:
            self._connection.request(method, self._prefix + path, body or None, headers)
            response = self._connection.getresponse()
            found = response.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise Disconnected(reason or type(error).__name__) from error
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, found)

    def close(self) -> None:
        """Close it."""
        self._connection.close()

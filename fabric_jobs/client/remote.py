"""Calls a remote gateway over TCP or TLS. `http.client` imports more slowly than our own client, but works with any proxy."""

from __future__ import annotations

import http.client
from dataclasses import dataclass
from urllib.parse import urlsplit

from fabric_jobs.errors import InvalidInput
from fabric_jobs.runtime.fabric_skill.http import Answer, Disconnected

ANSWER_SECONDS = 120.0  # twice the longest long poll


@dataclass(frozen=True, kw_only=True)
class Remote:
    """The address, the token and the project of a remote gateway."""

    url: str  # http(s)://HOST[:PORT][/PREFIX]
    token: str
    project_id: str = "local"

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
        if not self.token or not self.token.isascii() or not self.token.isprintable():
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
        self._token = remote.token
        self._connection = kind(str(parts.hostname), parts.port, timeout=seconds)

    def request(self, method: str, path: str, body: bytes = b"", *, headers: dict[str, str] | None = None) -> Answer:
        """Send a request and return its response; raise Disconnected if none comes."""
        wanted = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json", **(headers or {})}
        try:
            self._connection.request(method, self._prefix + path, body or None, wanted)
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

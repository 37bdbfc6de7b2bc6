"""Calls a remote gateway over TCP or TLS. `http.client` imports more slowly than our own client, but works with any proxy."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
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


class SocketConnection(http.client.HTTPConnection):
    """A connection to an owner's Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=ANSWER_SECONDS)
        self._path = path

    def connect(self) -> None:
        """Connect; raise OSError."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class RemoteConnection:
    """One keep-alive connection to a remote gateway."""

    def __init__(self, remote: Remote, *, seconds: float = ANSWER_SECONDS, socket_path: str = "") -> None:
        """With `socket_path`, connect there instead of the address."""
        parts = urlsplit(remote.url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._prefix = parts.path.rstrip("/")
        self._remote = remote
        self._token, self._renew_at = remote.token, 0.0
        self._connection = (
            SocketConnection(socket_path) if socket_path else kind(str(parts.hostname), parts.port, timeout=seconds)
        )

    def request(self, method: str, path: str, body: bytes = b"", *, headers: dict[str, str] | None = None) -> Answer:
        """Send a request and return its response; raise Disconnected if none comes."""
        wanted = {"Content-Type": "application/json", **(headers or {})}
        with self.stream(method, path, body or None, headers=wanted) as stream:
            return stream.whole()

    def stream(
        self, method: str, path: str, body: bytes | Iterable[bytes] | None, *, headers: dict[str, str]
    ) -> LongAnswer:
        """Send a request of any length and return its response, to be read in parts; raise Disconnected if none comes.

        Parts without `content-length` among the headers are sent as chunks.
        """
        return self._begin(method, path, body, {"Authorization": f"Bearer {self._bearer()}", **headers})

    def _bearer(self) -> str:
        """Return a token; sign a new one shortly before the last expires, by the gateway's clock."""
        key = self._remote.key
        if key is not None and time.monotonic() >= self._renew_at:
            try:
                now = float(json.loads(self._begin("GET", INFO, None, {}).whole().body)["serverTs"]) / 1000
            except (ValueError, KeyError, TypeError):  # not a gateway, or an older one
                now = time.time()
            self._token = key.sign(now + SIGNED_SECONDS)
            self._renew_at = time.monotonic() + SIGNED_SECONDS / 2
        return self._token

    def _begin(
        self, method: str, path: str, body: bytes | Iterable[bytes] | None, headers: dict[str, str]
    ) -> LongAnswer:
        is_chunked = "transfer-encoding" in headers
        with self._translated():
            refused: OSError | None = None
            try:
                self._connection.request(method, self._prefix + path, body, headers, encode_chunked=is_chunked)
            except (BrokenPipeError, ConnectionResetError) as error:
                refused = error  # it may have answered before it closed
            try:
                response = self._connection.getresponse()
            except (OSError, http.client.HTTPException) as error:
                raise refused or error from None
        return LongAnswer(self, response)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Close the connection after any error, since half a request may be in it; turn those of the network into Disconnected."""
        is_good = False
        try:
            yield
            is_good = True
        except (OSError, http.client.HTTPException) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise Disconnected(reason or type(error).__name__) from error
        finally:
            if not is_good:
                self.close()

    def close(self) -> None:
        """Close it."""
        self._connection.close()


class LongAnswer:
    """A response that is read in parts; a `with` closes the connection unless all of it was read."""

    def __init__(self, connection: RemoteConnection, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self._connection = connection
        self._response = response

    def __enter__(self) -> LongAnswer:
        return self

    def __exit__(self, *error: object) -> None:
        if not self._response.isclosed():
            self._connection.close()

    def read(self, size: int) -> bytes:
        """Return some bytes, none at the end; raise Disconnected when the response breaks off."""
        with self._connection._translated():
            part = self._response.read(size)
            if not part and self._response.length:
                raise http.client.IncompleteRead(b"", self._response.length)
            return part

    def whole(self) -> Answer:
        """Return all of it; raise Disconnected when it breaks off."""
        with self._connection._translated():
            found = self._response.read()
        return Answer(self.status, {name.lower(): value for name, value in self._response.getheaders()}, found)

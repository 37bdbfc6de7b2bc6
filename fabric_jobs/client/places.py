"""Where a gateway is: the owner of a state directory, started if there is none, or a remote one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from fabric_jobs.client.owner import Starting, running
from fabric_jobs.errors import PlaceUnavailable
from fabric_jobs.runtime.fabric_skill.http import Answer, Connection
from fabric_jobs.state_dir import engine_named

if TYPE_CHECKING:
    from fabric_jobs.client.remote import RemoteConnection


class Line(Protocol):
    """A connection to a gateway."""

    def request(
        self, method: str, path: str, body: bytes = b"", *, headers: dict[str, str] | None = None
    ) -> Answer:  # pragma: no cover - a protocol
        """Send a request and return its response; raise Disconnected."""

    def close(self) -> None:  # pragma: no cover - a protocol
        """Close it."""


class OwnersPlace:
    """The owner of a state directory."""

    is_local = True

    def __init__(self, state_dir: Path) -> None:
        """Start the owner if there is none, without waiting for it."""
        self._state_dir = state_dir
        self._address = running(state_dir)
        self._starting = Starting(state_dir) if self._address is None else None

    def connect(self) -> Line:
        """Return a connection once there is an owner."""
        if self._address is None and self._starting is None:
            self._address = running(self._state_dir)
        if self._address is None:
            self._address = (self._starting or Starting(self._state_dir)).wait()
            self._starting = None
        return Connection(self._address.socket, self._address.token)

    def streaming(self) -> RemoteConnection:
        """Return a connection for bodies of any length; call `connect` first."""
        from fabric_jobs.client.remote import Remote, RemoteConnection  # late: http.client is slow to import

        assert self._address is not None
        remote = Remote(url=self._address.url, token=self._address.token)
        return RemoteConnection(remote, socket_path=self._address.socket)

    @property
    def executor(self) -> str:
        """The default executor, known once it is connected."""
        return self._address.executor if self._address is not None else ""

    @property
    def url(self) -> str:
        """http://HOST:PORT, known once it is connected."""
        return self._address.url if self._address is not None else ""

    def check_engine(self) -> None:
        """Raise PlaceUnavailable if it uses another Docker engine than this command's."""
        theirs, ours = self._address.engine if self._address is not None else "", engine_named()
        if theirs != ours:
            raise PlaceUnavailable(
                f"the owner of {self._state_dir} uses the Docker engine '{theirs or 'default'}', "
                f"but DOCKER_HOST or DOCKER_CONTEXT says '{ours or 'default'}' here.",
                hint="It keeps the engine that it was started with. An owner that a command has started ends some seconds "
                "after the last command and activation; then try again.",
            )

    def lost(self, reason: str) -> PlaceUnavailable:
        """Return the error for a gateway that has stopped answering."""
        self._address = None
        return PlaceUnavailable(f"the owner of {self._state_dir} has ended: {reason}", hint="Type the command again.")


class RemotePlace:
    """A remote gateway; it is never started."""

    is_local = False
    executor = ""  # only the gateway knows it

    def check_engine(self) -> None:
        """Check nothing: a remote gateway chooses its own engine."""

    def __init__(self, url: str, line: RemoteConnection) -> None:
        self.url = url.rstrip("/").removesuffix("/px")
        self._line = line

    def connect(self) -> Line:
        """Return a connection, which opens at the first call."""
        return self._line

    def streaming(self) -> RemoteConnection:
        """Return the same, for bodies of any length."""
        return self._line

    def lost(self, reason: str) -> PlaceUnavailable:
        """Return the error for a gateway that does not answer."""
        hint = "Check the address, and that `fabric-jobs serve` is running there."
        return PlaceUnavailable(f"the gateway {self.url} cannot be reached: {reason}", hint=hint)

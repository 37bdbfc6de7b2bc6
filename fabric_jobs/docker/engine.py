"""A Docker Engine, by the docker library: its containers and networks."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from fabric_jobs.docker.client import TIMEOUT, engine_url, make_client
from fabric_jobs.docker.failures import Gone, Refused, has_timed_out, translated

PART = 1 << 16


@dataclass(frozen=True, kw_only=True)
class Container:
    """The state of a container."""

    status: str  # created | running | paused | restarting | removing | exited | dead
    exit_code: int
    out_of_memory: bool
    error: str  # why it could not be started
    address: str  # in its own network
    ports: Mapping[int, tuple[str, int]]  # the published ones: host and port
    ended_at: datetime  # by the engine's clock; long ago until it has ended
    is_unhealthy: bool = False  # its health check fails

    @property
    def runs(self) -> bool:
        """Whether its program has started and not yet ended."""
        return self.status in ("running", "paused", "restarting")


class Stream:
    """The bytes that a container prints while it runs."""

    def __init__(self, response: Any, raw: socket.SocketIO | None = None) -> None:
        self._response = response
        self._raw = raw
        self._socket = getattr(raw, "_sock", None) or response.raw.connection.sock
        self._socket.settimeout(None)
        self._closed = False

    def __iter__(self) -> Iterator[bytes]:
        """Yield the bytes until the container ends or `interrupt` is called. Raises ExecutorUnavailable."""
        try:
            with translated():
                if self._raw is None:
                    yield from self._response.iter_content(PART)
                    return
                while part := self._raw.read(PART):
                    yield part
        except Exception:
            if not self._closed:  # once closed, the library may fail in any way
                raise

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *error: object) -> None:
        self._closed = True
        self.interrupt()
        self._response.close()

    def interrupt(self) -> None:
        """End the stream, from any thread. Its reader gets what has arrived so far."""
        with suppress(OSError):  # it has already ended
            self._socket.shutdown(socket.SHUT_RDWR)


class DockerEngine:
    """One Docker Engine. Every method raises ExecutorUnavailable if the engine does not answer."""

    def __init__(self, url: str = "") -> None:
        """Connect at the first call. Without a `url`, use the engine of the `docker` command."""
        self._given = url
        self._made: Any = None  # docker.api.client.APIClient, which has no types
        self._making = threading.Lock()

    @property
    def url(self) -> str:
        """The address of the engine, such as unix:///var/run/docker.sock."""
        if not self._given:
            self._given = engine_url()
        return self._given

    @property
    def shares_files(self) -> bool:
        """Whether the engine sees the directories of this machine."""
        return self.url.startswith(("unix://", "npipe://"))

    @property
    def host(self) -> str:
        """The engine's host, as this machine names it."""
        return "127.0.0.1" if self.shares_files else str(urlsplit(self.url).hostname)

    def close(self) -> None:
        """Close all connections."""
        made = self._made  # without the lock: connecting to a silent engine holds it for long
        if made is not None:
            made.close()

    def ping(self) -> None:
        """Return once the engine answers."""
        with translated():
            self.api.ping()

    def create(self, name: str, config: Mapping[str, Any]) -> None:
        """Create a container, unless one of that name exists. Raises Gone if the image is missing, and Refused."""
        from docker import errors

        with translated():
            try:
                self.api.create_container_from_config(dict(config), name)
            except errors.APIError as error:
                if error.status_code != 409:
                    raise

    def put(self, name: str, archive: bytes) -> None:
        """Unpack a tar archive at the root of a container."""
        with translated():
            self.api.put_archive(name, "/", archive)

    def start(self, name: str) -> bool:
        """Start a container; return False if it was started before. Raises Gone, and Refused if it cannot be started."""
        api = self.api
        with translated():
            response = api._post(api._url("/containers/{0}/start", name))
            api._raise_for_status(response)
            return bool(response.status_code != 304)

    def attach(self, name: str) -> Stream:
        """Return what a container prints, as frames with its exact bytes. Attach before the container starts."""
        api = self.api
        params, headers = {"stdout": 1, "stderr": 1, "stream": 1}, {"Connection": "Upgrade", "Upgrade": "tcp"}
        with translated():  # like `attach_socket`, whose stream nobody can close
            path = api._url("/containers/{0}/attach", name)
            response = api.post(path, params=params, headers=headers, stream=True, timeout=None)
            return Stream(response, api._get_raw_response_socket(response))

    def logs(self, name: str, *, follow: bool, newest: int | None = None) -> Stream:
        """Return a container's log as frames with times, or only its newest lines; with `follow`, also what it prints later."""
        api = self.api
        params: dict[str, int | str] = {"stdout": 1, "stderr": 1, "timestamps": 1, "follow": int(follow)}
        if newest is not None:
            params["tail"] = str(newest)
        with translated():
            response = api.get(api._url("/containers/{0}/logs", name), params=params, stream=True, timeout=None)
            api._raise_for_status(response)
            return Stream(response)

    def wait(self, name: str, seconds: float) -> int | None:
        """Wait for a container and return its exit code; None if it runs longer than `seconds`. Raises Gone."""
        with translated():
            response = _post(self.api, f"/containers/{name}/wait", seconds)
            return None if response is None else int(response.json()["StatusCode"])

    def container(self, name: str) -> Container:
        """Look at a container; raise Gone."""
        with translated():
            found = self.api.inspect_container(name)
        state, networks = found["State"], found["NetworkSettings"]
        published = {
            int(port.partition("/")[0]): (places[0]["HostIp"], int(places[0]["HostPort"]))
            for port, places in (networks.get("Ports") or {}).items()
            if places
        }
        addresses = [each.get("IPAddress") or "" for each in (networks.get("Networks") or {}).values()]
        return Container(
            status=state["Status"],
            exit_code=int(state["ExitCode"]),
            out_of_memory=bool(state["OOMKilled"]),
            error=state.get("Error") or "",
            address=next(filter(None, addresses), ""),
            ports=published,
            ended_at=datetime.fromisoformat(state["FinishedAt"]),
            is_unhealthy=(state.get("Health") or {}).get("Status") == "unhealthy",
        )

    def kill(self, name: str, signal: str, seconds: float) -> bool:
        """Send a signal to the program of a container; return False if it is not running.

        If the engine has not answered within `seconds`, the signal has been sent or will be.
        """
        try:
            with translated():
                _post(self.api, f"/containers/{name}/kill", seconds, signal=signal)
        except (Gone, Refused):
            return False
        return True

    def remove(self, name: str) -> None:
        """Delete a container, running or not. Idempotent."""
        try:
            with translated():
                self.api.remove_container(name, force=True, v=True)
        except (Gone, Refused):  # refused: somebody else is deleting it
            return

    def labelled(self, label: str) -> list[Mapping[str, Any]]:
        """Return names and labels of all containers that have the label KEY=VALUE."""
        with translated():
            found = self.api.containers(all=True, filters={"label": label})
        return [{"name": each["Names"][0].lstrip("/"), **each["Labels"]} for each in found]

    def remove_volume(self, name: str) -> None:
        """Delete a volume that no container uses. Idempotent."""
        try:
            with translated():
                self.api.remove_volume(name, force=True)
        except (Gone, Refused):  # refused: a container still uses it
            return

    def labelled_volumes(self, label: str) -> list[Mapping[str, Any]]:
        """Return names and labels of all volumes that have the label KEY=VALUE."""
        with translated():
            found = self.api.volumes(filters={"label": label})["Volumes"] or []
        return [{"name": each["Name"], **each["Labels"]} for each in found]

    def network(self, name: str, options: Mapping[str, str]) -> str:
        """Return the gateway address of our bridge network `name`; create the network if it is missing."""
        from docker import errors

        with translated():
            try:
                found = self.api.inspect_network(name)
            except errors.NotFound:
                self._make_network(name, options)
                found = self.api.inspect_network(name)
        configs = found["IPAM"]["Config"] or [{}]
        return str(next((each["Gateway"] for each in configs if each.get("Gateway")), "")).partition("/")[0]

    def _make_network(self, name: str, options: Mapping[str, str]) -> None:
        from docker import errors

        try:
            self.api.create_network(
                name, driver="bridge", check_duplicate=True, options=dict(options), labels={name: "network"}
            )
        except errors.APIError as error:
            if error.status_code != 409:  # somebody else has just created it
                raise

    @property
    def api(self) -> Any:
        """The library's client, for this package only."""
        with self._making:
            if self._made is None:
                with translated(self.url):
                    self._made = make_client(self.url)
            return self._made


def _post(api: Any, path: str, seconds: float, **parameters: str) -> Any:
    """Return the response to a request; None if the engine takes longer than `seconds`."""
    import requests

    try:
        response = api.post(api._url(path), params=parameters, timeout=(TIMEOUT, seconds))
    except requests.RequestException as error:
        if not has_timed_out(error):
            raise
        return None
    api._raise_for_status(response)
    return response

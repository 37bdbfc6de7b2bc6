"""A Docker Engine, by the docker library: the calls that attempts need, and its errors in our words.

The only file that knows the library. Which engine: DOCKER_HOST, else the context of the `docker` command.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fabric_jobs.errors import ExecutorUnavailable, InvalidInput

CONNECTIONS = 64  # that are kept open; each running attempt needs one
PART = 1 << 16
TIMEOUT = 60  # seconds until an engine that says nothing does not answer


@dataclass(frozen=True, kw_only=True)
class Image:
    """What an image says about its program."""

    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    environment: Mapping[str, str]
    user: str
    stop_signal: str
    directory: str = ""  # where its program runs


@dataclass(frozen=True, kw_only=True)
class Container:
    """How a container is."""

    status: str  # created | running | paused | restarting | removing | exited | dead
    exit_code: int
    out_of_memory: bool
    error: str  # why it could not be started
    address: str  # in its network
    ports: Mapping[int, tuple[str, int]]  # those that are published: host and port
    ended_at: datetime  # by the engine's clock; long ago while it has not ended

    @property
    def runs(self) -> bool:
        """Whether its program has begun and has not ended."""
        return self.status in ("running", "paused", "restarting")


class Gone(Exception):
    """There is no such container, image or network."""


class Refused(InvalidInput):
    """The engine will not do this, and would not later either."""


class Stream:
    """Bytes that come while a container runs."""

    def __init__(self, response: Any, raw: socket.SocketIO | None = None) -> None:
        self._response = response
        self._raw = raw
        self._socket = getattr(raw, "_sock", None) or response.raw.connection.sock
        self._socket.settimeout(None)

    def __iter__(self) -> Iterator[bytes]:
        """Yield them; ends when the container does, or with `interrupt`. Raises ExecutorUnavailable."""
        with _translated():
            if self._raw is None:
                yield from self._response.iter_content(PART)
                return
            while part := self._raw.read(PART):
                yield part

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *error: object) -> None:
        self.interrupt()
        self._response.close()

    def interrupt(self) -> None:
        """End it, from whatever thread: who reads it gets what came so far."""
        with suppress(OSError):  # it has ended by itself
            self._socket.shutdown(socket.SHUT_RDWR)


class Engine:
    """One Docker Engine. Every method raises ExecutorUnavailable when it does not answer."""

    def __init__(self, url: str = "") -> None:
        """Nothing is connected before the first call; without a `url` the engine is that of the `docker` command."""
        self._given = url
        self._made: Any = None  # docker.api.client.APIClient, which has no types
        self._making = threading.Lock()

    @property
    def url(self) -> str:
        """Where it is, such as unix:///var/run/docker.sock."""
        if not self._given:
            context = _context().get("base_url") or "unix:///var/run/docker.sock"
            self._given = os.environ.get("DOCKER_HOST") or str(context)
        return self._given

    @property
    def shares_files(self) -> bool:
        """Whether it sees the directories of this machine."""
        return self.url.startswith(("unix://", "npipe://"))

    @property
    def host(self) -> str:
        """The host that it runs on, as this machine calls it."""
        return "127.0.0.1" if self.shares_files else str(urlsplit(self.url).hostname)

    def close(self) -> None:
        """Let go of its connections."""
        made = self._made  # without the lock: who makes a client of a silent engine holds it for long
        if made is not None:
            made.close()

    def ping(self) -> None:
        """Return when it answers."""
        with _translated():
            self._api.ping()

    def image(self, reference: str) -> Image:
        """Look at an image; raise Gone."""
        with _translated():
            found = self._api.inspect_image(reference)
        said = found.get("Config") or {}
        return Image(
            entrypoint=tuple(said.get("Entrypoint") or ()),
            command=tuple(said.get("Cmd") or ()),
            environment=dict(pair.split("=", 1) for pair in said.get("Env") or () if "=" in pair),
            user=said.get("User") or "",
            stop_signal=said.get("StopSignal") or "SIGTERM",
            directory=said.get("WorkingDir") or "",
        )

    def pull(self, reference: str) -> Iterator[str]:
        """Fetch an image; yield what is being done. Raises Refused with the words of the registry."""
        name, tag = _name_and_tag(reference)
        with _translated():
            try:
                events = self._api.pull(name, tag=tag, stream=True, decode=True)
            except _errors().APIError as error:  # 500 too: it is the registry that did not do it
                raise Refused(_words(error)) from error
            for event in events:
                if "error" in event:  # errors come inside of the stream
                    raise Refused(str(event["error"]))
                yield " ".join(filter(None, (event.get("status"), event.get("progress"))))

    def create(self, name: str, config: Mapping[str, Any]) -> None:
        """Make a container; one that has the name already stays as it is. Raises Gone without its image, Refused."""
        with _translated():
            try:
                self._api.create_container_from_config(dict(config), name)
            except _errors().APIError as error:
                if error.status_code != 409:
                    raise

    def put(self, name: str, archive: bytes) -> None:
        """Unpack a tar archive at the root of a container."""
        with _translated():
            self._api.put_archive(name, "/", archive)

    def start(self, name: str) -> bool:
        """Start a container; return False when it was started before. Raises Gone, Refused when it cannot be started."""
        api = self._api
        with _translated():
            response = api._post(api._url("/containers/{0}/start", name))
            api._raise_for_status(response)
            return bool(response.status_code != 304)

    def attach(self, name: str) -> Stream:
        """Return what a container that is started afterwards prints, as frames, every byte as it came."""
        api = self._api
        params, headers = {"stdout": 1, "stderr": 1, "stream": 1}, {"Connection": "Upgrade", "Upgrade": "tcp"}
        with _translated():  # as `attach_socket` does, which lets nobody close it
            path = api._url("/containers/{0}/attach", name)
            response = api.post(path, params=params, headers=headers, stream=True, timeout=None)
            return Stream(response, api._get_raw_response_socket(response))

    def logs(self, name: str, *, follow: bool, newest: int | None = None) -> Stream:
        """Return what a container has printed, as frames with times, or so many of its newest lines; and what it will print."""
        api = self._api
        params: dict[str, int | str] = {"stdout": 1, "stderr": 1, "timestamps": 1, "follow": int(follow)}
        if newest is not None:
            params["tail"] = str(newest)
        with _translated():
            response = api.get(api._url("/containers/{0}/logs", name), params=params, stream=True, timeout=None)
            api._raise_for_status(response)
            return Stream(response)

    def wait(self, name: str, seconds: float) -> int | None:
        """Return the exit code of a container; None when it has not ended after so long. Raises Gone."""
        with _translated():
            response = _post(self._api, f"/containers/{name}/wait", seconds)
            return None if response is None else int(response.json()["StatusCode"])

    def container(self, name: str) -> Container:
        """Look at a container; raise Gone."""
        with _translated():
            found = self._api.inspect_container(name)
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
        )

    def kill(self, name: str, signal: str, seconds: float) -> bool:
        """Send a signal to the program of a container; return False when it does not run.

        It has been sent, or will be, when the engine has not answered after so long.
        """
        try:
            with _translated():
                _post(self._api, f"/containers/{name}/kill", seconds, signal=signal)
        except (Gone, Refused):
            return False
        return True

    def remove(self, name: str) -> None:
        """Delete a container, whatever it does; twice is harmless."""
        try:
            with _translated():
                self._api.remove_container(name, force=True, v=True)
        except (Gone, Refused):  # refused: somebody else is at it
            return

    def labelled(self, label: str) -> list[Mapping[str, Any]]:
        """Return the labels of all containers that have one label (KEY=VALUE), and their names."""
        with _translated():
            found = self._api.containers(all=True, filters={"label": label})
        return [{"name": each["Names"][0].lstrip("/"), **each["Labels"]} for each in found]

    def network(self, name: str, options: Mapping[str, str]) -> str:
        """Return the address of the gateway of a bridge network of ours; make the network when it is not there."""
        with _translated():
            try:
                found = self._api.inspect_network(name)
            except _errors().NotFound:
                self._make_network(name, options)
                found = self._api.inspect_network(name)
        configs = found["IPAM"]["Config"] or [{}]
        return str(next((each["Gateway"] for each in configs if each.get("Gateway")), "")).partition("/")[0]

    def _make_network(self, name: str, options: Mapping[str, str]) -> None:
        try:
            self._api.create_network(
                name, driver="bridge", check_duplicate=True, options=dict(options), labels={name: "network"}
            )
        except _errors().APIError as error:
            if error.status_code != 409:  # somebody else was faster
                raise

    @property
    def _api(self) -> Any:
        with self._making:
            if self._made is None:
                self._made = _client(self.url)
            return self._made


def _client(url: str) -> Any:
    from docker.api.client import APIClient
    from docker.utils import kwargs_from_env

    wanted = kwargs_from_env() if os.environ.get("DOCKER_HOST") else _context()
    wanted["base_url"] = url
    return APIClient(
        **wanted, version="auto", timeout=TIMEOUT, max_pool_size=CONNECTIONS, use_ssh_client=url.startswith("ssh://")
    )


def _post(api: Any, path: str, seconds: float, **parameters: str) -> Any:
    """Return the response to a request; None when the engine takes longer over it."""
    import requests

    try:
        response = api.post(api._url(path), params=parameters, timeout=(TIMEOUT, seconds))
    except requests.RequestException as error:
        if not _has_timed_out(error):
            raise
        return None
    api._raise_for_status(response)
    return response


def _context() -> dict[str, Any]:
    from docker.context import ContextAPI

    name = os.environ.get("DOCKER_CONTEXT")
    if name and ContextAPI.get_context(name) is None:
        host = _context_host(name)
        if host:
            return {"base_url": host}
        hint = "List them with `docker context ls`, and correct the variable DOCKER_CONTEXT."
        raise ExecutorUnavailable(f"there is no docker context '{name}'.", hint=hint)
    found: dict[str, Any] = ContextAPI.kwargs_from_context()
    return found


def _context_host(name: str) -> str:
    """Return where a context leads; the library looks at none in a directory without a config.json."""
    directory = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    path = directory / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest() / "meta.json"
    try:
        return str(json.loads(path.read_text())["Endpoints"]["docker"]["Host"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _errors() -> Any:
    from docker import errors

    return errors


def _name_and_tag(reference: str) -> tuple[str, str]:
    name, at, digest = reference.partition("@")
    if at:
        return name, digest
    head, colon, tag = reference.rpartition(":")
    return (head, tag) if colon and "/" not in tag else (reference, "latest")


@contextmanager
def _translated() -> Iterator[None]:
    """Turn what the library raises into ExecutorUnavailable, Gone or Refused."""
    import requests
    import urllib3
    from docker import errors

    try:
        yield
    except errors.NotFound as error:
        raise Gone(_words(error)) from error
    except errors.APIError as error:
        if error.status_code is not None and error.status_code < 500:
            raise Refused(_words(error)) from error
        raise ExecutorUnavailable(f"the Docker engine could not do it: {_words(error)}") from error
    except (errors.DockerException, requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        raise ExecutorUnavailable(
            f"the Docker engine does not answer: {_reason(error)}.",
            hint="Start it, or name another one with DOCKER_HOST or `docker context use`.",
        ) from error


def _has_timed_out(error: Any) -> bool:
    import requests
    import urllib3

    return isinstance(error, requests.ReadTimeout) or any(
        isinstance(each, urllib3.exceptions.ReadTimeoutError) for each in error.args
    )


def _words(error: Any) -> str:
    return str(error.explanation or error).strip().rstrip(".")


def _reason(error: BaseException) -> str:
    """Return the reason at the bottom of an error: those of the libraries are wrapped in each other."""
    while error.__cause__ is not None or error.__context__ is not None:
        error = error.__cause__ or error.__context__ or error
    return (error.strerror if isinstance(error, OSError) and error.strerror else str(error)).rstrip(".")

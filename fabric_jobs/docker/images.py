"""The images of an engine: inspects, tags, pulls and pushes them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any

from fabric_jobs.docker.client import TIMEOUT
from fabric_jobs.docker.credentials import header_of
from fabric_jobs.docker.engine import DockerEngine, Stream
from fabric_jobs.docker.failures import Gone, Refused, translated, words
from fabric_jobs.errors import ExecutorUnavailable, FabricJobsError

OF_DOCKER = ("docker.io/", "index.docker.io/", "library/")  # the engine omits them in the names that it reports
TICK_SECONDS = 1.0  # of silence, after which the caller gets an empty message

Told = Mapping[str, Any]  # the engine's message about a transfer; an empty one only marks time


@dataclass(frozen=True, kw_only=True)
class Image:
    """An image of an engine."""

    image_id: str = ""
    names: tuple[str, ...] = ()  # all its names: `repository:tag`
    digests: tuple[str, ...] = ()  # its names in registries: `repository@sha256:…`
    labels: Mapping[str, str] = field(default_factory=dict)
    # How it runs its program:
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    stop_signal: str = "SIGTERM"
    directory: str = ""  # working directory

    def is_called(self, name: str) -> bool:
        """Tell whether `repository:tag` is one of its names."""
        return familiar(name) in self.names

    def digests_in(self, repository: str) -> tuple[str, ...]:
        """Return its digests in one repository. It may have been pushed to others, too."""
        prefix = f"{familiar(repository)}@"
        return tuple(name.removeprefix(prefix) for name in self.digests if name.startswith(prefix))


def familiar(name: str) -> str:
    """Return a name as the engine reports it: `docker.io/library/python:3` becomes `python:3`."""
    for prefix in OF_DOCKER:
        name = name.removeprefix(prefix)
    return name


def look(engine: DockerEngine, reference: str) -> Image:
    """Inspect an image. Raise Gone, or Refused for an invalid name."""
    with translated():
        found = engine.api.inspect_image(reference)
    said = found.get("Config") or {}
    return Image(
        image_id=found["Id"],
        names=tuple(found.get("RepoTags") or ()),
        digests=tuple(found.get("RepoDigests") or ()),
        labels=said.get("Labels") or {},
        entrypoint=tuple(said.get("Entrypoint") or ()),
        command=tuple(said.get("Cmd") or ()),
        environment=dict(pair.split("=", 1) for pair in said.get("Env") or () if "=" in pair),
        user=said.get("User") or "",
        stop_signal=said.get("StopSignal") or "SIGTERM",
        directory=said.get("WorkingDir") or "",
    )


def find(engine: DockerEngine, names: Sequence[str]) -> dict[str, Image]:
    """Return those of the named images that the engine has."""
    found = {}
    for name in dict.fromkeys(names):
        with suppress(Gone):
            found[name] = look(engine, name)
    return found


def digests(engine: DockerEngine, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return, for each `repository:tag` that the engine has, its digests in that repository."""
    return {name: image.digests_in(name.rpartition(":")[0]) for name, image in find(engine, names).items()}


def tag(engine: DockerEngine, reference: str, name: str) -> None:
    """Give an image another name, `repository:tag`. Raise Gone."""
    repository, given = _name_and_tag(name)
    with translated():
        engine.api.tag(reference, repository, given, force=True)


def remove(engine: DockerEngine, names: Sequence[str]) -> None:
    """Remove names from images, and delete images without any. Missing names and images in use are skipped."""
    for name in names:
        with suppress(Gone, Refused), translated():
            engine.api.remove_image(name)


def pull(engine: DockerEngine, reference: str) -> Iterator[str]:
    """Pull an image and yield each step, or an empty text during silence. Raises Refused with the registry's message."""
    name, given = _name_and_tag(reference)
    for told in _transfer(engine, reference, "/images/create", fromImage=name, tag=given):
        yield " ".join(filter(None, (told.get("status"), told.get("progress"))))


def push(engine: DockerEngine, reference: str) -> Iterator[Told]:
    """Push `repository:tag` and yield the engine's messages. Raises Refused with the registry's message.

    Closing the generator ends the push.
    """
    name, given = _name_and_tag(reference)
    return _transfer(engine, reference, f"/images/{name}/push", tag=given)


def _transfer(engine: DockerEngine, reference: str, path: str, **parameters: str) -> Iterator[Told]:
    from docker import errors

    api = engine.api
    with translated():
        try:
            headers = header_of(reference)
            response = api.post(api._url("{0}", path), params=parameters, headers=headers, stream=True, timeout=TIMEOUT)
            api._raise_for_status(response)
        except errors.APIError as error:  # 500 too: the registry failed, not the engine
            raise Refused(words(error)) from error
    with Stream(response) as stream:
        for told in _ticking(stream):
            if "error" in told:  # errors come inside the stream
                raise Refused(str(told["error"]))
            yield told


def _ticking(stream: Stream) -> Iterator[Told]:
    """Yield the messages of a stream, and an empty one after each TICK_SECONDS of silence."""
    queue: SimpleQueue[Told | FabricJobsError | None] = SimpleQueue()

    def read() -> None:
        try:
            for told in _messages(stream):
                queue.put(told)
        except FabricJobsError as error:
            queue.put(error)
        except ValueError as error:
            queue.put(ExecutorUnavailable(f"the answer of the Docker engine is not JSON: {error}."))
        queue.put(None)

    threading.Thread(target=read, name="docker-transfer", daemon=True).start()
    while True:
        try:
            told = queue.get(timeout=TICK_SECONDS)
        except Empty:
            yield {}
            continue
        if told is None:
            return
        if isinstance(told, FabricJobsError):
            raise told
        yield told


def _messages(parts: Iterable[bytes]) -> Iterator[Told]:
    rest = b""
    for part in parts:
        *lines, rest = (rest + part).split(b"\n")
        yield from (json.loads(line) for line in lines if line.strip())


def _name_and_tag(reference: str) -> tuple[str, str]:
    name, at, digest = reference.partition("@")
    if at:
        return name, digest
    head, colon, given = reference.rpartition(":")
    return (head, given) if colon and "/" not in given else (reference, "latest")

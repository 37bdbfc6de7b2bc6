"""Pushes an image with the docker command, and tells how far it is."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from fabric_jobs.errors import FabricJobsError, NotAllowed, PlaceUnavailable
from fabric_jobs.images import docker_command
from fabric_jobs.images.digests import digests
from fabric_jobs.images.login import plain
from fabric_jobs.images.terminal import TerminalProcess

LAYER = re.compile(r"([0-9a-f]{12}): (.+)")
DIGEST = re.compile(r"\S+: digest: (sha256:[0-9a-f]{64}) size: \d+")
SIZE = re.compile(r"([0-9.]+)(B|kB|MB|GB|TB)")
UNITS = {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}
DONE = ("Pushed", "Layer already exists", "Mounted from")
SILENT = ("The push refers to", "Waiting", "Preparing")
REFUSED = ("no basic auth", "unauthorized", "denied", "authentication required", "interactive login", "forbidden")


@dataclass(frozen=True, kw_only=True)
class Layer:
    """How far one layer of an image is."""

    done: bool = False
    sent_bytes: float = 0
    all_bytes: float = 0  # 0 while it is not known
    note: str = ""  # what keeps it from going on


@dataclass(frozen=True, kw_only=True)
class Pushing:
    """How far the push of an image is."""

    layers: dict[str, Layer]

    @property
    def done(self) -> int:
        """How many layers the registry has."""
        return sum(layer.done for layer in self.layers.values())

    @property
    def note(self) -> str:
        """What keeps it from going on; empty when nothing does."""
        return next((layer.note for layer in self.layers.values() if layer.note), "")

    @property
    def sent_bytes(self) -> float:
        """How many bytes have been sent."""
        return sum(layer.sent_bytes for layer in self.layers.values())

    @property
    def all_bytes(self) -> float:
        """How many there are to send, as far as that is known."""
        return sum(layer.all_bytes for layer in self.layers.values())

    def read(self, line: str) -> Pushing | None:
        """Return what it is after a line of docker's; None when the line is about no layer."""
        found = LAYER.fullmatch(line)
        if found is None:
            return None
        before = self.layers.get(found[1], Layer())
        return Pushing(layers={**self.layers, found[1]: _layer(before, found[2])})


Watch = Callable[[Pushing], None]


def push(reference: str, watch: Watch) -> str:
    """Push `repository:tag`, and return the digest by which the registry knows it.

    Pushing twice is harmless. Raise NotAllowed without a login that the registry takes, PlaceUnavailable for all else.
    Whoever is interrupted here leaves no docker command behind.
    """
    docker_command.commands()
    pushing, said, digest = Pushing(layers={}), [], ""
    with TerminalProcess((docker_command.COMMAND, "push", reference)) as process:
        for line in process.lines():
            told = DIGEST.fullmatch(line)  # before all else: a tag may look like a layer
            now = pushing.read(line)
            if told is not None:
                digest = told[1]
            elif now is not None:
                pushing = now
                watch(pushing)
            elif not line:
                watch(pushing)  # time goes by
            elif not line.startswith(SILENT):
                said.append(line)
        code = process.wait()
    if code:
        raise _failure(reference, plain("\n".join(said)) or f"docker push ended with exit code {code}")
    return _checked(reference, digest)


def tag(reference: str, other: str) -> None:
    """Give an image of the engine one more name; raise PlaceUnavailable."""
    answer = docker_command.run("image", "tag", reference, other)
    if answer.code:
        raise _failure(reference, plain(answer.errors))


def _layer(before: Layer, status: str) -> Layer:
    if status.startswith(DONE):
        return replace(before, done=True, sent_bytes=before.all_bytes, note="")
    if status.startswith("Retrying"):
        return replace(before, note=f"the connection broke, {status[0].lower()}{status[1:]}")
    sizes = [float(number) * UNITS[unit] for number, unit in SIZE.findall(status.rpartition("]")[2])]
    if not status.startswith("Pushing") or not sizes:
        return before
    # Of what is compressed on the way docker may send more than it had expected, and tells one size only.
    return replace(before, sent_bytes=sizes[0], all_bytes=sizes[1] if sizes[1:] else before.all_bytes, note="")


def _checked(reference: str, said: str) -> str:
    """Return the digest, if it is one by which the repository has this image."""
    known = digests([reference]).get(reference, ())
    if said in known:
        return said
    if len(known) == 1 and not said:
        return known[0]
    raise PlaceUnavailable(
        f"docker has pushed {reference}, and cannot tell under which digest it is there.",
        hint="Type the command again; what is there is not pushed a second time.",
    )


def _failure(reference: str, said: str) -> FabricJobsError:
    no_engine = docker_command.refusal(said)
    if no_engine is not None:
        return no_engine
    if "does not exist locally" in said or "No such image" in said:
        return PlaceUnavailable(f"the engine has {reference} no more.", hint="Build it again, and publish then.")
    message = f"{reference} cannot be pushed: {said}"
    if any(word in said.lower() for word in REFUSED):
        return NotAllowed(
            message,
            hint=f"Log in with 'docker login {_host(reference)}', or with --username of "
            "'fabric-jobs workspaces registry add', and type the command again; nothing was recorded.",
        )
    return PlaceUnavailable(
        message, hint="Check the registry and its address, and type the command again; nothing was recorded."
    )


def _host(reference: str) -> str:
    """Return the registry that docker takes an image to."""
    first = reference.partition("/")[0]
    return first if first == "localhost" or set(first) & set(".:") else "docker.io"

"""Pushes an image, and reports progress."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from fabric_jobs.docker import images
from fabric_jobs.docker.engine import DockerEngine
from fabric_jobs.docker.failures import Gone, Refused
from fabric_jobs.errors import PlaceUnavailable

DONE = ("Pushed", "Layer already exists", "Mounted from")  # the engine's words for a layer that the registry has


@dataclass(frozen=True, kw_only=True)
class Layer:
    """The progress of one layer."""

    done: bool = False
    sent_bytes: int = 0
    all_bytes: int = 0  # 0 while unknown
    note: str = ""  # what it waits for


@dataclass(frozen=True, kw_only=True)
class Pushing:
    """The progress of a push."""

    layers: dict[str, Layer]

    @property
    def done(self) -> int:
        """The number of layers that the registry has."""
        return sum(layer.done for layer in self.layers.values())

    @property
    def note(self) -> str:
        """What the push waits for; empty if nothing."""
        return next((layer.note for layer in self.layers.values() if layer.note), "")

    @property
    def sent_bytes(self) -> int:
        """The number of bytes sent."""
        return sum(layer.sent_bytes for layer in self.layers.values())

    @property
    def all_bytes(self) -> int:
        """The number of bytes to send, as far as known."""
        return sum(layer.all_bytes for layer in self.layers.values())

    def read(self, told: Mapping[str, Any]) -> Pushing | None:
        """Return the progress after a message of the engine; None if the message is not about a layer."""
        layer = told.get("id")
        if layer is None:
            return None
        after = _layer(self.layers.get(layer, Layer()), told.get("status", ""), told.get("progressDetail") or {})
        return Pushing(layers={**self.layers, layer: after})


Watch = Callable[[Pushing], None]


def push(engine: DockerEngine, reference: str, watch: Watch) -> str:
    """Push `repository:tag`, and return its digest in the registry. Idempotent.

    `watch` is called at every message, and every second. Raise PlaceUnavailable.
    """
    pushing, digest = Pushing(layers={}), ""
    try:
        images.look(engine, reference)
        for told in images.push(engine, reference):
            digest = (told.get("aux") or {}).get("Digest", digest)
            now = pushing.read(told)
            pushing = now or pushing
            if now is not None or not told:  # an empty message only marks time
                watch(pushing)
        known = images.look(engine, reference).digests_in(reference.rpartition(":")[0])
    except Gone as error:
        raise PlaceUnavailable(
            f"the engine no longer has {reference}.", hint="Build it again, then publish."
        ) from error
    except Refused as error:
        raise PlaceUnavailable(
            f"{reference} cannot be pushed: {error.message.rstrip('.')}.",
            hint=f"Check the registry and its address, and the login: 'docker login {_host(reference)}', or --username of "
            "'fabric-jobs workspaces registry add'. Then run the command again; nothing was recorded.",
        ) from error
    return _checked(reference, digest, known)


def _layer(before: Layer, status: str, progress: Mapping[str, int]) -> Layer:
    if status.startswith(DONE):
        return replace(before, done=True, sent_bytes=before.all_bytes, note="")
    if status.startswith("Retrying"):
        return replace(before, note=f"the connection broke, {status[0].lower()}{status[1:]}")
    if "current" not in progress:
        return before
    # Compression on the way can make a layer larger than the engine expected; then it reports only one size.
    all_bytes = progress.get("total") or before.all_bytes
    return replace(before, sent_bytes=progress["current"], all_bytes=all_bytes, note="")


def _checked(reference: str, said: str, known: tuple[str, ...]) -> str:
    """Return the digest if it is one of the image's in that repository."""
    if said in known:
        return said
    if len(known) == 1 and not said:
        return known[0]
    raise PlaceUnavailable(
        f"the engine has pushed {reference}, but did not report its digest.",
        hint="Run the command again; it does not push the image a second time.",
    )


def _host(reference: str) -> str:
    """Return the registry of an image."""
    first = reference.partition("/")[0]
    return first if first == "localhost" or set(first) & set(".:") else "docker.io"

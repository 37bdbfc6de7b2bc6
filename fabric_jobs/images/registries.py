"""Keeps named registries of images in the user's file `registries.toml`. One of them is active."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fabric_jobs.config_files import config_dir, read_config, texts, write_config
from fabric_jobs.errors import AlreadyExists, InvalidInput, NotFound
from fabric_jobs.names import check_new_name, nearest

KEYS = {"url", "namespace"}
URL_HINT = "Write it as HOST[:PORT][/PATH], such as registry.example.org or localhost:5000."

_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"  # a part of an image's name, between slashes
_PATH = re.compile(rf"{_PART}(?:/{_PART})*")
_LABEL = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_HOST = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-f:]+\])(?::(?P<port>[0-9]{{1,5}}))?")


@dataclass(frozen=True, kw_only=True)
class Registry:
    """A registry that images are pushed to."""

    name: str
    url: str  # HOST[:PORT][/PATH]
    namespace: str = ""  # between registry and image name; may be empty

    @property
    def host(self) -> str:
        """HOST[:PORT], docker's key for the credentials."""
        return self.url.partition("/")[0]


@dataclass(frozen=True, kw_only=True)
class Registries:
    """The content of the file."""

    active: str = ""  # name of the active registry; empty: none
    known: dict[str, Registry] = field(default_factory=dict)

    def find(self, name: str) -> Registry:
        """Return a registry by name. Raise NotFound."""
        if name not in self.known:
            hint = nearest(name, self.known) or f"Add it: fabric-jobs workspaces registry add {name} --url HOST[:PORT]"
            raise NotFound(f"there is no registry '{name}' in {registries_file()}.", hint=hint)
        return self.known[name]


def active() -> Registry | None:
    """Return the active registry; None if there is none."""
    found = read_registries()
    return found.find(found.active) if found.active else None


def new_registry(name: str, url: str, namespace: str = "") -> Registry:
    """Return a checked registry. Raise InvalidInput if no image could be pushed to it."""
    check_new_name(name, "registry")
    namespace = namespace.strip("/")
    if namespace and not _PATH.fullmatch(namespace):
        raise InvalidInput(
            f"'{namespace}' is not a valid namespace: each part between slashes has lower-case letters and digits, "
            "with single '.', '_' or '-' between them.",
            hint="Choose another one, for example 'flights' or 'team/flights'.",
        )
    return Registry(name=name, url=_checked_url(url), namespace=namespace)


def check_addable(registry: Registry) -> None:
    """Raise AlreadyExists if the name belongs to a different registry."""
    there = read_registries().known.get(registry.name)
    if there is not None and there != registry:
        raise AlreadyExists(
            f"the registry '{registry.name}' already exists as {_shown(there)}, not as {_shown(registry)}.",
            hint=f"Choose another name, or remove it first: fabric-jobs workspaces registry remove {registry.name}",
        )


def add(registry: Registry) -> bool:
    """Store a registry, and return whether it is active: the first one becomes active. Idempotent."""
    check_addable(registry)
    found = read_registries()
    active_name = found.active if found.known else registry.name
    _write(Registries(active=active_name, known={**found.known, registry.name: registry}))
    return active_name == registry.name


def activate(name: str) -> Registry:
    """Make a registry active, and return it. Raise NotFound."""
    found = read_registries()
    registry = found.find(name)
    _write(replace(found, active=name))
    return registry


def remove(name: str) -> bool:
    """Remove a registry, and return whether it was active, so that now none is. Raise NotFound."""
    found = read_registries()
    found.find(name)
    was_active = found.active == name
    known = {key: registry for key, registry in found.known.items() if key != name}
    _write(Registries(active="" if was_active else found.active, known=known))
    return was_active


def registries_file() -> Path:
    """Return the path of the file."""
    return config_dir() / "registries.toml"


def read_registries() -> Registries:
    """Return all registries. Raise InvalidInput for an invalid file."""
    hint = (
        'A registry is [registries.NAME] with the line url = "HOST[:PORT]"; active = "NAME" comes before all of them.'
    )
    return read_config(registries_file(), _registries, hint=hint)


def _registries(value: dict[str, Any]) -> Registries:
    known = {name: _registry(name, texts(table, KEYS)) for name, table in value.get("registries", {}).items()}
    return Registries(active=_active(value, known), known=known)


def _active(value: dict[str, Any], known: dict[str, Registry]) -> str:
    name = value.get("active", "")
    if name and name not in known:
        raise ValueError(f"the active registry '{name}' is not in it")
    return str(name)


def _registry(name: str, values: dict[str, str]) -> Registry:
    try:
        return new_registry(name, values.get("url", ""), values.get("namespace", ""))
    except InvalidInput as error:
        raise ValueError(f"registry '{name}': {error.message}") from None


def _write(registries: Registries) -> None:
    tables = {name: {"url": found.url, "namespace": found.namespace} for name, found in registries.known.items()}
    write_config(registries_file(), "registries", tables, active=registries.active)


def _checked_url(given: str) -> str:
    """Return HOST[:PORT][/PATH] without the scheme: docker itself chooses HTTP or HTTPS."""
    url = re.sub(r"^https?://", "", given.strip(), flags=re.IGNORECASE).rstrip("/").lower()
    host, _, path = url.partition("/")
    if "@" in host:
        hint = "Remove user and password from it; give them with --username and --password-stdin."
        raise InvalidInput("the address of a registry must not contain a user.", hint=hint)
    found = _HOST.fullmatch(host)
    if found is None or (path and not _PATH.fullmatch(path)):
        raise InvalidInput(f"'{given}' is not the address of a registry.", hint=URL_HINT)
    if found["port"] is not None and not 1 <= int(found["port"]) <= 65_535:
        raise InvalidInput(f"'{given}' is not the address of a registry: a port is from 1 to 65535.", hint=URL_HINT)
    if host != "localhost" and not set(host) & set(".:"):
        hint = f"Write its full name, or add its port, such as {host}.example.org or {host}:5000."
        raise InvalidInput(
            f"'{host}' is not the address of a registry: docker would read it as a user of Docker Hub.", hint=hint
        )
    return url


def _shown(registry: Registry) -> str:
    return "/".join(part for part in (registry.url, registry.namespace) if part)

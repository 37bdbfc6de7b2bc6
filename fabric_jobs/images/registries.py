"""Registries of images, by name; one of them is the active one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Registry:
    """Where images are pushed to."""

    name: str
    url: str  # HOST or HOST:PORT; a scheme before it is left out of image names
    namespace: str = ""  # what stands between the registry and the image; may be empty


def active() -> Registry | None:
    """Return the registry that images are named for; None when there is none."""
    return None

"""Makes names of images: repository and tags (docs/howto/build-images.md)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fabric_jobs.errors import InvalidInput

if TYPE_CHECKING:
    from fabric_jobs.images.registries import Registry

LATEST = "latest"
LONGEST = 255  # characters of a repository: Docker's limit

_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_HOST = r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?"
_REPOSITORY = rf"(?:{_HOST}/)?{_PART}(?:/{_PART})*"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"


def default_image(skill: str, action: str) -> str:
    """Return the default image name of an action: the skill's name, followed by the action's if it differs."""
    return (skill if skill == action else f"{skill}-{action}").replace("/", "-")


def repository(image: str, registry: Registry | None) -> str:
    """Return the repository of an image. A name with '/' is complete; any other belongs to the registry.

    Raise InvalidInput for an invalid image name.
    """
    name, _ = _split(image)
    if "/" not in name and registry is not None:
        host = registry.url.partition("://")[2] or registry.url
        name = "/".join(part for part in (host.strip("/"), registry.namespace.strip("/"), name) if part)
    name = name.lower()
    if len(name) <= LONGEST and re.fullmatch(_REPOSITORY, name):
        return name
    raise InvalidInput(
        f"'{name}' is not a valid image name: each part between slashes has lower-case letters and digits, "
        "with single '.', '_' or '-' between them.",
        hint=f"Correct 'image' in skill.yaml{_or_registry(registry)}.",
    )


def tag(image: str) -> str:
    """Return the tag of an image besides its content hash: the tag in its name, else `latest`."""
    return _split(image)[1] or LATEST


def reference(image: str, registry: Registry | None, content_hash: str) -> str:
    """Return the name of one exact content: `<repository>:<content hash>`."""
    return f"{repository(image, registry)}:{content_hash}"


def _split(image: str) -> tuple[str, str]:
    """Return name and tag. A colon followed by a slash belongs to a port."""
    if "@" in image:
        raise InvalidInput(
            f"'{image}' names an image by its digest, which a new build cannot have.",
            hint="Remove '@' and the digest from 'image' in skill.yaml.",
        )
    name, colon, found = image.rpartition(":")
    if not colon or "/" in found:
        return image, ""
    if re.fullmatch(_TAG, found):
        return name, found
    raise InvalidInput(
        f"'{found}' is not a valid tag of the image '{image}': a tag has up to 128 letters, digits, '_', '.' and '-', "
        "and does not begin with '.' or '-'.",
        hint="Correct 'image' in skill.yaml.",
    )


def _or_registry(registry: Registry | None) -> str:
    return f", or the registry '{registry.name}'" if registry is not None else ""

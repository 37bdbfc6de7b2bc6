"""What the engine has: images by their names, asked for with one command."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fabric_jobs.errors import PlaceUnavailable
from fabric_jobs.images import docker_command

FORMAT = "[{{json .Id}},{{json .RepoTags}},{{json .Config.Labels}}]"
ABSENT = "no such image"
OF_DOCKER = ("docker.io/", "index.docker.io/", "library/")  # the engine leaves them out of the names that it tells


@dataclass(frozen=True, kw_only=True)
class Image:
    """An image of the engine."""

    image_id: str
    names: tuple[str, ...]  # all its names: `repository:tag`
    labels: dict[str, str]

    def is_called(self, name: str) -> bool:
        """Tell whether `repository:tag` is one of its names."""
        return familiar(name) in self.names


def inspect(names: Sequence[str]) -> dict[str, Image]:
    """Return the images that the engine has of these names; what it has not is left out.

    Raise PlaceUnavailable when there is no docker command, or the engine does not answer.
    """
    if not names:
        return {}
    answer = docker_command.run("image", "inspect", "--format", FORMAT, *names)
    said = [line for line in answer.errors.splitlines() if line.strip() and ABSENT not in line.lower()]
    if answer.code and said:
        text = "\n".join(said)
        raise docker_command.refusal(text) or PlaceUnavailable(f"the Docker engine refused: {text}")
    images = [_image(json.loads(line)) for line in answer.output.splitlines() if line.startswith("[")]
    return {name: image for name in names for image in images if image.is_called(name)}


def familiar(name: str) -> str:
    """Return a name as the engine tells it: `docker.io/library/python:3` is `python:3`."""
    for prefix in OF_DOCKER:
        name = name.removeprefix(prefix)
    return name


def _image(values: list[Any]) -> Image:
    image_id, names, labels = values
    return Image(image_id=image_id, names=tuple(names or ()), labels=labels or {})

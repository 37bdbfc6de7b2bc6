"""By which digests registries know the images of the engine."""

from __future__ import annotations

import json
from collections.abc import Sequence

from fabric_jobs.errors import PlaceUnavailable
from fabric_jobs.images import docker_command
from fabric_jobs.images.inspect import familiar, inspect

FORMAT = "[{{json .Id}},{{json .RepoDigests}}]"


def digests(names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return for every `repository:tag` that the engine has the digests under which its repository has it.

    Raise PlaceUnavailable when there is no docker command, or the engine does not answer.
    """
    images = inspect(names)
    known = _known({image.image_id for image in images.values()})
    return {
        name: _of_repository(name.rpartition(":")[0], known.get(image.image_id, ())) for name, image in images.items()
    }


def _known(image_ids: set[str]) -> dict[str, list[str]]:
    if not image_ids:
        return {}
    answer = docker_command.run("image", "inspect", "--format", FORMAT, *sorted(image_ids))
    if answer.code:
        said = answer.errors.strip()
        raise docker_command.refusal(said) or PlaceUnavailable(f"the Docker engine refused: {said}")
    found = [json.loads(line) for line in answer.output.splitlines() if line.startswith("[")]
    return {image_id: names or [] for image_id, names in found}


def _of_repository(repository: str, names: Sequence[str]) -> tuple[str, ...]:
    """Return the digests that belong to a repository: an image may have been pushed to others, too."""
    prefix = f"{familiar(repository)}@"
    return tuple(name.removeprefix(prefix) for name in names if name.startswith(prefix))

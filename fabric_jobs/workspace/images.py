"""Finds the image of an action: the one that was built from its current files."""

from __future__ import annotations

from pathlib import Path

from fabric_jobs.definitions import Action
from fabric_jobs.docker.engine import DockerEngine
from fabric_jobs.docker.images import find
from fabric_jobs.errors import InvalidDefinition, NotFound, Problem
from fabric_jobs.images import names
from fabric_jobs.images.context import content_hash
from fabric_jobs.images.registries import Registry, active
from fabric_jobs.user_files import DOCKERFILE, built_from
from fabric_jobs.workspace.tree import SkillFile

LABEL_SKILL = "fabric-jobs.skill"
LABEL_ACTION = "fabric-jobs.action"
LABEL_CONTENT = "fabric-jobs.content"
LABEL_INPUTS = "fabric-jobs.inputs"  # a hash of the build options, such as arguments and platform


def images_of(found: SkillFile) -> dict[str, str]:
    """Return the image (`repository:content hash`) of every action of a skill that has a directory.

    Raise NotFound if one was not built or its files have changed since, InvalidDefinition if one cannot be built,
    PlaceUnavailable if the engine does not answer. An API has none: it names its images, or gets the default one.
    """
    if found.is_api:
        return {}
    registry = active()
    actions = {
        action.name: action for action in found.skill.actions if built_from(found.directory, action.name).is_dir()
    }
    wanted = {name: reference_of(found, action, registry) for name, action in actions.items()}
    latest = {name: other_name_of(found, action, registry) for name, action in actions.items()}
    there = find(DockerEngine(), [*wanted.values(), *latest.values()])
    for name, reference in wanted.items():
        if reference not in there:
            raise _not_built(found, name, has_changed=latest[name] in there)
    return wanted


def image_of(found: SkillFile, action: Action) -> str:
    """Return the name that the author gives the image of an action, else its default name."""
    return action.image or names.default_image(found.skill.name, action.name)


def reference_of(found: SkillFile, action: Action, registry: Registry | None) -> str:
    """Return the name of the image of an action with its current files."""
    return names.reference(image_of(found, action), registry, content_hash(context_of(found, action)))


def other_name_of(found: SkillFile, action: Action, registry: Registry | None) -> str:
    """Return the image name that stays the same for every build, with the tag in skill.yaml, else `latest`."""
    image = image_of(found, action)
    return f"{names.repository(image, registry)}:{names.tag(image)}"


def context_of(found: SkillFile, action: Action) -> Path:
    """Return the directory that the image of an action is built from; raise InvalidDefinition if it has no Dockerfile."""
    directory = built_from(found.directory, action.name)
    if (directory / DOCKERFILE).is_file():
        return directory
    message = f"the action '{action.name}' of the skill '{found.skill.name}' has no Dockerfile; write this file"
    raise InvalidDefinition((Problem.of_file(directory / DOCKERFILE, message),))


def _not_built(found: SkillFile, action: str, *, has_changed: bool) -> NotFound:
    why = "its files have changed since its image was built" if has_changed else "its image was not built"
    return NotFound(
        f"the action '{action}' of the skill '{found.skill.name}' cannot run as a container: {why}.",
        hint=f"Build it: fabric-jobs workspaces build --skill {found.skill.name}",
    )

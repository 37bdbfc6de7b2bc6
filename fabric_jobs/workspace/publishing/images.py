"""The images of a publish: which are in their registry, which must be pushed, which were not built."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fabric_jobs.errors import NotFound, shown
from fabric_jobs.executors import dockerfile
from fabric_jobs.images.registries import Registry
from fabric_jobs.user_files import built_from
from fabric_jobs.workspace.images import image_of, other_name_of, reference_of
from fabric_jobs.workspace.publishing.lock_file import Lock, LockedImage
from fabric_jobs.workspace.tree import SkillFile

# Takes image names and returns those that the engine has, with their digests in their repositories.
AskDigests = Callable[[Sequence[str]], Mapping[str, tuple[str, ...]]]


@dataclass(frozen=True, kw_only=True)
class PlannedImage:
    """The image of an action, and whether it is pushed."""

    skill: str
    action: str
    repository: str
    tag: str  # the hash of the files it is built from
    other_tag: str  # the tag that moves: `latest`, or the one in skill.yaml
    program: tuple[str, ...] = ()  # the line that its Dockerfile names; a cluster cannot ask an image for it
    digest: str = ""  # its digest in the registry, if known
    push: bool = False

    @property
    def reference(self) -> str:
        """`repository:tag`."""
        return f"{self.repository}:{self.tag}"

    @property
    def other_reference(self) -> str:
        """The name that always means the last pushed image."""
        return f"{self.repository}:{self.other_tag}"

    @property
    def command(self) -> dict[str, list[str]]:
        """What is added to the action, so that its program is known where its files are not."""
        return {"command": list(self.program)} if self.program else {}

    @property
    def pinned(self) -> str:
        """The image name for the definition: by digest or, if there is none, by tag."""
        return f"{self.repository}@{self.digest}" if self.digest else self.reference


def planned_images(found: SkillFile, registry: Registry | None) -> tuple[PlannedImage, ...]:
    """Return the images of a skill with its current files, without third-party images, which are used unchanged.

    Raise InvalidDefinition for an action without a buildable image, InvalidInput for an invalid image name.
    """
    images = []
    for action in () if found.is_api else found.skill.actions:
        if "/" in image_of(found, action) and not built_from(found.directory, action.name).exists():
            continue
        repository, _, tag = reference_of(found, action, registry).rpartition(":")
        other_tag = other_name_of(found, action, registry).rpartition(":")[2]
        images.append(
            PlannedImage(
                skill=found.skill.name,
                action=action.name,
                repository=repository,
                tag=tag,
                other_tag=other_tag,
                program=() if action.command else _program(built_from(found.directory, action.name) / "Dockerfile"),
            )
        )
    return tuple(images)


def _program(path: Path) -> tuple[str, ...]:
    """Return the program line of a Dockerfile; empty in shell form, and where the base image begins it."""
    file = dockerfile.read_file(path)
    return (*file.entrypoint, *file.command) if file and file.entrypoint and not file.is_shell else ()


def decide(
    images: Iterable[PlannedImage], lock: Lock, engine: AskDigests, root: Path, *, skip_push: bool
) -> tuple[PlannedImage, ...]:
    """Return the images, with the digests of pushed ones, and `push` set on the others.

    The lock file says what was pushed, but the engine's image of that name may have been rebuilt since. Raise NotFound for
    an image that was not built, or has no registry.
    """
    pushed = {image: _locked(image, lock) for image in images}
    asked = [image for image, locked in pushed.items() if locked is None or not skip_push]
    there = engine([image.reference for image in asked])
    missing = [image for image in asked if image.reference not in there and pushed[image] is None]
    if missing:
        raise _not_built(missing, engine([image.other_reference for image in missing]), root)
    decided = []
    for image, locked in pushed.items():
        known = there.get(image.reference)
        if locked is not None and (known is None or locked.digest in known):
            decided.append(replace(image, digest=locked.digest))
        else:
            decided.append(replace(image, push=not skip_push))
    _check_addresses([image for image in decided if image.push])
    return tuple(decided)


def _locked(image: PlannedImage, lock: Lock) -> LockedImage | None:
    """Return what was pushed for an action, if it is exactly this image."""
    locked = lock.image(image.skill, image.action)
    return locked if locked is not None and (locked.image, locked.tag) == (image.repository, image.tag) else None


def _not_built(missing: Sequence[PlannedImage], others: Mapping[str, object], root: Path) -> NotFound:
    lines = []
    for image in missing:
        reason = "has changed since it was built" if image.other_reference in others else "was not built"
        lines.append(
            f"  action '{image.action}' of skill '{image.skill}' {reason}: the engine has no {image.reference}"
        )
    skills = sorted({image.skill for image in missing})
    words = ["fabric-jobs", "workspaces", "build"]
    words += [] if Path.cwd().is_relative_to(root) else [shown(root)]
    words += ["--skill", *skills] if len(skills) == 1 else []
    what = "an image is" if len(missing) == 1 else f"{len(missing)} images are"
    return NotFound(
        "\n".join([f"{what} missing, so nothing is published.", *lines]),
        hint=f"Next: {shlex.join(words)}",
    )


def _check_addresses(images: Sequence[PlannedImage]) -> None:
    """Raise NotFound for an image without a registry, which docker would push to Docker Hub."""
    for image in images:
        if "/" not in image.repository:
            raise NotFound(
                f"no registry is active to push '{image.repository}' to.",
                hint="Next: fabric-jobs workspaces registry add NAME --url HOST[:PORT], and build again; "
                "or publish with --skip-push.",
            )

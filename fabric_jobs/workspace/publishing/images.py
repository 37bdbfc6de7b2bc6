"""The images of a publish: which are in their registry, which to push, which were not built."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fabric_jobs.errors import NotFound, shown
from fabric_jobs.images.registries import Registry
from fabric_jobs.user_files import built_from
from fabric_jobs.workspace.images import image_of, other_name_of, reference_of
from fabric_jobs.workspace.publishing.lock_file import Lock, LockedImage
from fabric_jobs.workspace.tree import SkillFile

# Takes names of images and returns those that the engine has, with the digests by which their repositories know them.
AskDigests = Callable[[Sequence[str]], Mapping[str, tuple[str, ...]]]


@dataclass(frozen=True, kw_only=True)
class PlannedImage:
    """The image of an action, and whether it is pushed."""

    skill: str
    action: str
    repository: str
    tag: str  # the hash of what it is built from
    other_tag: str  # the one that moves with it: `latest`, or the one that skill.yaml names
    digest: str = ""  # by which the registry has it, where that is known
    push: bool = False

    @property
    def reference(self) -> str:
        """`repository:tag`."""
        return f"{self.repository}:{self.tag}"

    @property
    def other_reference(self) -> str:
        """The name that always means the image that was pushed last."""
        return f"{self.repository}:{self.other_tag}"

    @property
    def pinned(self) -> str:
        """What the definition names: the image by its digest or, where there is none, by its tag."""
        return f"{self.repository}@{self.digest}" if self.digest else self.reference


def planned_images(found: SkillFile, registry: Registry | None) -> tuple[PlannedImage, ...]:
    """Return the images of a skill as its files are now, without those of somebody else, which are used as they are.

    Raise InvalidDefinition for an action that no image can be built of, InvalidInput for what no image can be called.
    """
    images = []
    for action in found.skill.actions:
        if "/" in image_of(found, action) and not built_from(found.directory, action.name).exists():
            continue
        repository, _, tag = reference_of(found, action, registry).rpartition(":")
        other_tag = other_name_of(found, action, registry).rpartition(":")[2]
        images.append(
            PlannedImage(
                skill=found.skill.name, action=action.name, repository=repository, tag=tag, other_tag=other_tag
            )
        )
    return tuple(images)


def decide(
    images: Iterable[PlannedImage], lock: Lock, engine: AskDigests, root: Path, *, skip_push: bool
) -> tuple[PlannedImage, ...]:
    """Return the images with the digests of those that were pushed, and `push` on the others.

    The lock file tells what was pushed; but what the engine has of that name may have been built again since then.
    Raise NotFound for what was not built, or has no registry to go to.
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
    """Return what was pushed for an action, if it is just this."""
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
    """Raise NotFound for an image that belongs to no registry: docker would take it for one of its own."""
    for image in images:
        if "/" not in image.repository:
            raise NotFound(
                f"no registry is active to push '{image.repository}' to.",
                hint="Next: fabric-jobs workspaces registry add NAME --url HOST[:PORT], and build again; "
                "or publish with --skip-push.",
            )

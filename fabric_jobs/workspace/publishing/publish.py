"""Publishes a workspace: pushes the images, records them in the lock file, saves skills and agents, and deploys them.

Every step is idempotent: pushed images are not pushed again, unchanged definitions not saved again. So after
any failure the next publish continues from there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from fabric_jobs.client.gateway import Gateway, segment
from fabric_jobs.docker.engine import DockerEngine
from fabric_jobs.docker.images import digests, tag
from fabric_jobs.documents.shown import as_stored
from fabric_jobs.errors import FabricJobsError, InvalidDefinition, InvalidInput, NotFound, Problem
from fabric_jobs.images.push import Pushing, push
from fabric_jobs.images.registries import active
from fabric_jobs.workspace.publishing.images import PlannedImage
from fabric_jobs.workspace.publishing.lock_file import read_lock, write_lock
from fabric_jobs.workspace.publishing.plan import Planned, Publication, make_plan
from fabric_jobs.workspace.tree import Workspace

NEW, CHANGED, UNCHANGED = "new", "changed", "unchanged"

# Takes an image and how far its push is, or None when it is done.
Watch = Callable[[PlannedImage, Pushing | None], None]


@dataclass(frozen=True, kw_only=True)
class Published:
    """What happened to a skill or an agent, or will happen."""

    planned: Planned
    state: str  # new | changed | unchanged: compared with the gateway's
    version: int | None = None  # the gateway's number; None if it is not saved yet
    message: str = ""  # the gateway's message about the deployment


def plan_publish(root: Path, skill: str | None, *, skip_push: bool) -> Publication:
    """Return what publishing will push and save; nothing is done yet.

    Raise what `make_plan` raises, and PlaceUnavailable if the engine does not answer.
    """
    lock = read_lock(root)
    return make_plan(Workspace(root), skill, active(), lock, partial(digests, DockerEngine()), skip_push=skip_push)


def compare(plan: Publication, gateway: Gateway) -> tuple[Published, ...]:
    """Return how a plan differs from the gateway; what is not pushed yet counts as changed. Nothing is saved."""
    return tuple(_compared(planned, gateway) for planned in plan.planned)


def push_images(plan: Publication, watch: Watch) -> Publication:
    """Push what the registry lacks, record it in the lock file, and return the plan with all digests.

    Record nothing unless everything was pushed.
    """
    wanted = {image.reference: image for image in plan.images if image.push}  # actions may share an image
    known: dict[str, str] = {}
    engine = DockerEngine()
    for reference, image in wanted.items():
        known[reference] = push(engine, reference, partial(watch, image))
        watch(image, None)
    for reference, image in wanted.items():  # `latest` moves once everything is pushed
        tag(engine, reference, image.other_reference)
        push(engine, image.other_reference, _unwatched)
    pushed = replace(plan, planned=tuple(_with_digests(planned, known) for planned in plan.planned))
    if pushed.new_lock().text() != plan.lock.text():
        # Another skill may have been published meanwhile.
        write_lock(plan.root, replace(pushed, lock=read_lock(plan.root)).new_lock())
    return pushed


def save(plan: Publication, gateway: Gateway) -> tuple[Published, ...]:
    """Save and deploy skills, then agents. An unchanged definition is not saved again, but still deployed.

    Raise InvalidDefinition if the gateway refuses a document.
    """
    return tuple(_saved(planned, gateway) for planned in plan.planned)


def _unwatched(pushing: Pushing) -> None:
    """Show nothing, because the registry has all layers."""


def _compared(planned: Planned, gateway: Gateway) -> Published:
    found = _document(gateway, planned)
    if found is None:
        return Published(planned=planned, state=NEW)
    is_same = as_stored(found) == as_stored(planned.pinned_document()) and not any(
        image.push and not image.digest for image in planned.images
    )
    return Published(planned=planned, state=UNCHANGED if is_same else CHANGED, version=found.get("_version"))


def _saved(planned: Planned, gateway: Gateway) -> Published:
    compared = _compared(planned, gateway)
    version = compared.version
    if compared.state != UNCHANGED:
        version = _post(planned, gateway)["version"]
    path = f"/{planned.kind}s/{segment(planned.name)}/deploy"
    try:
        message = gateway.get(path).get("message", "")
    except FabricJobsError as error:
        what = f"{planned.kind} '{planned.name}' is saved, but was not deployed"
        raise type(error)(f"{what}: {error.message}", hint=error.hint) from error
    return replace(compared, version=version, message=message)


def _post(planned: Planned, gateway: Gateway) -> Mapping[str, Any]:
    # No source is sent, even if the gateway could read it: a published skill runs from its image.
    try:
        answer: Mapping[str, Any] = gateway.post(f"/{planned.kind}s", planned.pinned_document())
    except InvalidInput as error:
        message = f"the gateway refuses it: {error.message} {error.hint}".rstrip()
        raise InvalidDefinition((Problem.of_file(planned.path, message),)) from error
    return answer


def _document(gateway: Gateway, planned: Planned) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = gateway.get(f"/{planned.kind}s/{segment(planned.name)}")
    except NotFound:
        return None
    return found


def _with_digests(planned: Planned, known: Mapping[str, str]) -> Planned:
    images = tuple(replace(image, digest=known.get(image.reference, image.digest)) for image in planned.images)
    return replace(planned, images=images)

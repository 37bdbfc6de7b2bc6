"""Compares the definitions of a remote gateway with the local files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from fabric_jobs.client.gateway import Gateway, segment
from fabric_jobs.documents.shown import with_parameters, without_server_keys
from fabric_jobs.errors import FabricJobsError, InvalidDefinition, NotFound, shown
from fabric_jobs.images.registries import active
from fabric_jobs.workspace.compare import differences
from fabric_jobs.workspace.publishing.images import PlannedImage, planned_images
from fabric_jobs.workspace.publishing.lock_file import Lock, read_lock
from fabric_jobs.workspace.tree import SkillFile, Workspace


def deviations(gateway: Gateway, workspace: Workspace, kind: str, name: str) -> Iterator[str]:
    """Yield a sentence for each definition and each program that differs between a remote gateway and here."""
    try:
        skills: tuple[SkillFile, ...]
        if kind == "agent":
            agent = workspace.agent(name)
            skills = agent.skills
            yield from _of_document(gateway, "agent", agent.agent.name, agent.document, shown(agent.path))
        else:
            skills = (workspace.skill(name),)
        lock = read_lock(workspace.root)
        for found in skills:
            yield from _of_skill(gateway, found, lock)
    except FabricJobsError as error:
        yield f"the gateway's definitions cannot be compared with the local files: {error.message.splitlines()[0]}"


def _of_skill(gateway: Gateway, found: SkillFile, lock: Lock) -> Iterator[str]:
    theirs = _there(gateway, "skill", found.skill.name)
    saved = {action.get("name"): action for action in (theirs or {}).get("actions") or ()}
    there = {name: action.get("image") for name, action in saved.items()}
    own = found.document.get("actions") or ()
    pinned = {action["name"] for action in own if there.get(action["name"], action.get("image")) != action.get("image")}
    planned = _planned(found) if pinned else {}
    actions = []
    for action in own:
        name = action["name"]
        if name not in pinned or name not in planned:
            actions.append(action)
            continue
        added = planned[name].command if saved[name].get("command") else {}
        actions.append({**action, "image": there[name], **added})
        if not _is_same(planned[name], str(there[name]), lock):
            yield f"skill '{found.skill.name}' runs a different program for action '{name}' there: {there[name]}"
    document = {**found.document, "actions": actions} if actions else found.document
    yield from _of_document(gateway, "skill", found.skill.name, document, shown(found.path), theirs)


def _planned(found: SkillFile) -> dict[str, PlannedImage]:
    try:
        return {image.action: image for image in planned_images(found, active())}
    except InvalidDefinition:
        return {}  # no image can be built from it, so the gateway's differs


def _is_same(own: PlannedImage, image: str, lock: Lock) -> bool:
    """Tell whether an image was built from the current files, by its tag, or by its digest in the lock file."""
    locked = lock.image(own.skill, own.action)
    if locked is not None and image == locked.pinned:
        return locked.tag == own.tag
    return image.endswith(f":{own.tag}")


def _of_document(
    gateway: Gateway, kind: str, name: str, document: Any, path: str, theirs: dict[str, Any] | None = None
) -> Iterator[str]:
    theirs = theirs or _there(gateway, kind, name)
    if theirs is None:
        yield f"the gateway has no {kind} '{name}', which is in {path}"
        return
    found = differences(
        with_parameters(without_server_keys(json.loads(json.dumps(document)))), with_parameters(theirs), root=""
    )
    if found:
        where = ", ".join(sorted({difference.path.lstrip(".") or "all of it" for difference in found[:3]}))
        yield f"{kind} '{name}' differs there from {path}: {where}"


def _there(gateway: Gateway, kind: str, name: str) -> dict[str, Any] | None:
    try:
        return without_server_keys(gateway.get(f"/{kind}s/{segment(name)}"))
    except NotFound:
        return None

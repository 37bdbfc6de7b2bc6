"""Chooses the place of an activation that names no executor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fabric_jobs.definitions import Action
from fabric_jobs.routing import Plan
from fabric_jobs.store import definitions
from fabric_jobs.store.sql import Sql


def place_of(sql: Sql, project_id: str, pins: Mapping[str, Any], plan: Plan, default: str) -> str:
    """Return `default`; or docker, when `default` is local but a published skill or a single action has only an image here."""
    if default != "local":
        return default
    apart = pins.get("actions", {})
    if any(node.action.image and node.action.name in apart.get(node.skill_name, ()) for node in plan.nodes.values()):
        return "docker"
    skills = {node.skill_name for node in plan.nodes.values() if has_image(node.action)}
    for name in skills:
        saved = definitions.find(sql, project_id, "skill", name, pins["skills"][name])
        if saved is not None and not saved.source:
            return "docker"
    return default


def has_image(action: Action) -> bool:
    """Return whether an action names an existing image. A bare name is what its image will be called once built."""
    return any(mark in (action.image or "") for mark in "/:@")

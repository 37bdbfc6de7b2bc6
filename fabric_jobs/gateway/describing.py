"""Shows a definition as YAML, as what would run on Kubernetes, or as an OpenAPI document (docs/howto/describe.md)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from starlette.responses import Response

from fabric_jobs import manifests
from fabric_jobs.definitions import Skill
from fabric_jobs.documents import agent_from_json, skill_from_json, to_yaml
from fabric_jobs.errors import InvalidInput, NotFound
from fabric_jobs.gateway import interface
from fabric_jobs.gateway.json_response import Json
from fabric_jobs.gateway.parameters import choice
from fabric_jobs.gateway.shown import shown_definition
from fabric_jobs.images.names import default_image
from fabric_jobs.records import SavedDefinition, Task
from fabric_jobs.store import activations, definitions
from fabric_jobs.store.sql import Sql

OUTPUT = choice(
    "output",
    "The format: `json` and `yaml` show the document, `k8s` what would [run on Kubernetes](../howto/describe.md), `openapi` how it "
    "is invoked.",
    "json",
    "yaml",
    "k8s",
    "openapi",
    default="json",
)


async def described(sql: Sql, saved: SavedDefinition, output: str) -> Response:
    """Return a saved definition in one of the formats of OUTPUT."""
    shown = shown_definition(sql, saved)
    ways: Mapping[str, Callable[[], dict[str, Any]]] = {
        "k8s": lambda: kubernetes(sql, saved),
        "openapi": lambda: openapi(saved),
    }
    return await shown_as(output, shown, ways)


async def shown_as(output: str, document: Any, ways: Mapping[str, Callable[[], dict[str, Any]]]) -> Response:
    """Return a document as JSON or YAML, or what one of the other `ways` makes of it."""
    if output in ways:
        return Json(ways[output]())
    if output == "json":
        return Json(document)
    text = await asyncio.to_thread(to_yaml, document)  # slow for a long one
    return Response(text, media_type="application/yaml")


def openapi(saved: SavedDefinition, name: str = "") -> dict[str, Any]:
    """Return how a definition is invoked; `name` is what an agent is invoked by, if that is not its own name."""
    if saved.kind == "skill":
        return interface.of_skill(skill_from_json(saved.body), saved.project_id, saved.version)
    return interface.of_agent(agent_from_json(saved.body), saved.project_id, str(saved.version), name)


def kubernetes(sql: Sql, saved: SavedDefinition, versions: Mapping[str, int] | None = None) -> dict[str, Any]:
    """Return what of a skill, or of all skills of an agent, would run on Kubernetes.

    `versions` are those of the agent's skills, by default the newest. Raises NotFound when a skill is not saved.
    """
    if saved.kind == "skill":
        return _of_skill(saved)
    names = dict.fromkeys(reference.skill_name for reference in agent_from_json(saved.body).skills)
    found: list[dict[str, Any]] = []
    for name in names:
        skill = definitions.find(sql, saved.project_id, "skill", name, None if versions is None else versions[name])
        if skill is None:
            raise NotFound(f"agent '{saved.name}': its skill '{name}' is not saved.", hint="Save the skill first.")
        found += _of_skill(skill)["items"]
    return manifests.listed(found)


def kubernetes_of_task(sql: Sql, task: Task) -> dict[str, Any]:
    """Return what would run on Kubernetes in place of a task; raise InvalidInput when that is nothing."""
    activation = activations.find(sql, task.activation_id) if task.activation_id else None
    version = activation.pins["skills"].get(task.skill_name) if activation is not None else None
    saved = definitions.find(sql, task.project_id, "skill", task.skill_name, version)
    skill = skill_from_json(saved.body) if saved is not None else None
    action = skill.action(task.action_name) if skill is not None else None
    if saved is None or skill is None or action is None:
        raise InvalidInput(
            f"task {task.name} runs no program of its own.",
            hint="Only tasks of jobs and daemons would run on Kubernetes.",
        )
    owner = _owner(saved, skill)
    if action.type == "daemon":
        return manifests.listed(manifests.action_manifests(action, owner, skill.defaults()))
    return manifests.task_manifest(action, owner, f"{task.name}-{max(1, task.attempt)}")


def _of_skill(saved: SavedDefinition) -> dict[str, Any]:
    skill = skill_from_json(saved.body)
    return manifests.skill_manifests(skill, _owner(saved, skill))


def _owner(saved: SavedDefinition, skill: Skill) -> manifests.Owner:
    images = {
        action.name: saved.images.get(action.name) or action.image or default_image(skill.name, action.name).lower()
        for action in skill.actions
    }
    return manifests.Owner(project=saved.project_id, skill=skill.name, images=images)

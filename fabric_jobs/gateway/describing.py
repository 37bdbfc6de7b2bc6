"""Shows a definition as YAML, as what would run on Kubernetes, or as an OpenAPI document (docs/howto/describe.md)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from starlette.responses import Response

from fabric_jobs.documents import agent_from_json, skill_from_json, to_yaml
from fabric_jobs.gateway import interface
from fabric_jobs.gateway.json_response import Json
from fabric_jobs.gateway.parameters import choice
from fabric_jobs.gateway.parts import Parts
from fabric_jobs.gateway.shown import shown_definition
from fabric_jobs.records import SavedDefinition, Task

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


async def described(parts: Parts, saved: SavedDefinition, output: str) -> Response:
    """Return a saved definition in one of the formats of OUTPUT."""
    shown = shown_definition(parts.store.read, saved)
    ways: Mapping[str, Callable[[], dict[str, Any]]] = {
        "k8s": lambda: kubernetes(parts, saved),
        "openapi": lambda: openapi(saved),
    }
    return await shown_as(output, shown, ways)


async def shown_as(output: str, document: Any, ways: Mapping[str, Callable[[], dict[str, Any]]]) -> Response:
    """Return a document as JSON or YAML, or what one of the other `ways` makes of it."""
    if output in ways:
        return Json(await asyncio.to_thread(ways[output]))
    if output == "json":
        return Json(document)
    text = await asyncio.to_thread(to_yaml, document)  # slow for a long one
    return Response(text, media_type="application/yaml")


def openapi(saved: SavedDefinition, name: str = "") -> dict[str, Any]:
    """Return how a definition is invoked; `name` is what an agent is invoked by, if that is not its own name."""
    if saved.kind == "skill":
        return interface.of_skill(skill_from_json(saved.body), saved.project_id, saved.version)
    return interface.of_agent(agent_from_json(saved.body), saved.project_id, str(saved.version), name)


def kubernetes(
    parts: Parts, saved: SavedDefinition, versions: Mapping[str, int] | None = None, *, cold: bool = False
) -> dict[str, Any]:
    """Return what of a skill, or of all skills of an agent, would run on Kubernetes; see `on_kubernetes.of_definition`."""
    from fabric_jobs.gateway import on_kubernetes  # late: few ask for it

    place = on_kubernetes.place_of(parts.settings)
    return on_kubernetes.of_definition(parts.store.read, saved, place, versions, cold=cold)


def kubernetes_of_task(parts: Parts, task: Task) -> dict[str, Any]:
    """Return what would run on Kubernetes in place of a task; raise InvalidInput when that is nothing."""
    from fabric_jobs.gateway import on_kubernetes  # late: few ask for it

    return on_kubernetes.of_task(parts.store.read, task, on_kubernetes.place_of(parts.settings))

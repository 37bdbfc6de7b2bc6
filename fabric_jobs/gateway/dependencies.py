"""What a skill or an agent needs, as a tree (docs/reference/compatibility.md#exports)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from starlette.responses import Response

from fabric_jobs.errors import NotFound
from fabric_jobs.gateway.json_response import Json
from fabric_jobs.gateway.operation import Call, Operation
from fabric_jobs.names import nearest
from fabric_jobs.store import definitions, documents
from fabric_jobs.store.documents import DocumentKey
from fabric_jobs.store.sql import Sql

KINDS = {"skill": "Skill", "agent": "Agent"}  # as they are stored, and as Fabric's command spells them


async def list_dependencies(call: Call) -> Response:
    """List what a skill or an agent needs, with what that needs.

    `exists` is false for what the project does not have. A skill needs the types that `{$ref: …}` of its parameters name.
    """
    sql, kind, name = call.parts.store.read, call.path_params["kind"].lower(), call.path_params["name"]
    if kind not in KINDS:
        raise NotFound(
            f"there are no dependencies of the type '{call.path_params['kind']}'.", hint="It is Skill or Agent."
        )
    tree = _tree(sql, call.project, kind, name)
    if not tree["exists"]:
        known = [saved.name for saved in definitions.newest(sql, call.project, kind)]
        raise NotFound(f"there is no {kind} '{name}'.", hint=nearest(name, known))
    return Json({"success": True, **tree})


def _tree(sql: Sql, project_id: str, kind: str, name: str) -> dict[str, Any]:
    saved = definitions.find(sql, project_id, kind, name)
    found: dict[str, Any] = {"type": KINDS[kind], "name": name, "exists": saved is not None, "dependencies": []}
    if saved is not None and kind == "agent":
        skills = sorted({reference["skillName"] for reference in saved.body.get("skills") or ()})
        found["dependencies"] = [_tree(sql, project_id, "skill", skill) for skill in skills]
    if saved is not None and kind == "skill":
        found["dependencies"] = [_type(sql, project_id, name) for name in sorted(set(_types(saved.body)))]
    return found


def _types(skill: dict[str, Any]) -> Iterator[str]:
    for port in [*(skill.get("inputs") or ()), *(skill.get("outputs") or ())]:
        parameters = port.get("parameters")
        if isinstance(parameters, dict) and isinstance(parameters.get("$ref"), str):
            yield parameters["$ref"]


def _type(sql: Sql, project_id: str, name: str) -> dict[str, Any]:
    exists = documents.find(sql, DocumentKey(project_id, "type", name)) is not None
    return {"type": "Type", "name": name, "exists": exists, "dependencies": []}


OPERATIONS = (
    Operation(
        "POST",
        "/fabric/v4/dependencies/tree/{project}/{kind}/{name:path}",
        list_dependencies,
        answer="Dependencies",
        errors=("404",),
        role="read",
    ),
)

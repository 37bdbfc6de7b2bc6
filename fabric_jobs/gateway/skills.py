"""Skills and agents: save, list, show, invoke (reference/fabric.md 6.2)."""

from __future__ import annotations

import asyncio
import re
from typing import Any
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fabric_jobs.documents import agent_from_json, skill_from_json
from fabric_jobs.engine.invoke import Invocation
from fabric_jobs.errors import InvalidInput, NotFound, RecordTooLarge
from fabric_jobs.gateway.activations import wait_for_end
from fabric_jobs.gateway.json_response import Json, compact, object_of
from fabric_jobs.gateway.parts import milliseconds, parts_of, project_of
from fabric_jobs.names import nearest
from fabric_jobs.records import SavedDefinition
from fabric_jobs.store import definitions

# Directories, percent-encoded: of the skill's files, and of the workspace. Only the owner's user can call at all.
SOURCE_HEADER = "x-fabric-source"
WORKSPACE_HEADER = "x-fabric-workspace"
ACTIVATION_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")


async def save_skill(request: Request) -> Response:
    """Keep a skill; an unchanged one keeps its version."""
    return await _save(request, "skill")


async def save_agent(request: Request) -> Response:
    """Keep an agent; an unchanged one keeps its version."""
    return await _save(request, "agent")


async def list_skills(request: Request) -> Response:
    """List the newest version of every skill."""
    return Json({"success": True, "skills": _listed(request, "skill")})


async def list_agents(request: Request) -> Response:
    """List the newest version of every agent."""
    return Json({"success": True, "agents": _listed(request, "agent")})


async def show_skill(request: Request) -> Response:
    """Show the document of a skill."""
    return _show(request, "skill")


async def show_agent(request: Request) -> Response:
    """Show the document of an agent."""
    return _show(request, "agent")


async def invoke_skill(request: Request) -> Response:
    """Start an activation of a skill."""
    return await _invoke(request, "skill")


async def invoke_agent(request: Request) -> Response:
    """Start an activation of an agent."""
    return await _invoke(request, "agent")


async def _save(request: Request, kind: str) -> Response:
    parts, project_id = parts_of(request), project_of(request)
    body = await object_of(request, parts.settings.body_bytes)
    name = (skill_from_json(body) if kind == "skill" else agent_from_json(body)).name
    source = unquote(request.headers.get(SOURCE_HEADER, ""))
    version = await asyncio.wrap_future(
        parts.store.write(
            lambda tx: definitions.save(tx, project_id=project_id, kind=kind, name=name, body=body, source=source)
        )
    )
    return Json({"success": True, "version": version, "message": f"{kind} '{name}' is saved as version {version}."})


def _listed(request: Request, kind: str) -> list[dict[str, Any]]:
    project_id = project_of(request)
    return [_summary(saved) for saved in definitions.newest(parts_of(request).store.read, project_id, kind)]


def _summary(saved: SavedDefinition) -> dict[str, Any]:
    return {
        "name": saved.name,
        "title": saved.body.get("title", ""),
        "description": saved.body.get("description", ""),
        "updatedAt": milliseconds(saved.saved_at),
        "_version": saved.version,
    }


def _show(request: Request, kind: str) -> Response:
    project_id, name = project_of(request), request.path_params["name"]
    sql = parts_of(request).store.read
    saved = definitions.find(sql, project_id, kind, name)
    if saved is None:
        known = [item.name for item in definitions.newest(sql, project_id, kind)]
        raise NotFound(f"there is no {kind} '{name}'.", hint=nearest(name, known))
    return Json({**saved.body, "_version": saved.version, "updatedAt": milliseconds(saved.saved_at)})


async def _invoke(request: Request, kind: str) -> Response:
    parts, project_id = parts_of(request), project_of(request)
    body = await object_of(request, parts.settings.body_bytes)
    activation_id = await asyncio.wrap_future(parts.engine.invoke(_invocation(request, kind, project_id, body)))
    if request.query_params.get("sync", "").lower() == "true":
        return Json(await wait_for_end(parts, activation_id))
    return Json({"success": True, "activationId": activation_id})


def _invocation(request: Request, kind: str, project_id: str, body: dict[str, Any]) -> Invocation:
    if "payload" not in body:
        raise InvalidInput("there is no 'payload' in the parameters.", hint='Give an object such as {"payload": {…}}.')
    payload = compact(body["payload"])
    limit = parts_of(request).settings.record_bytes
    if len(payload) > limit:
        raise RecordTooLarge(
            f"the payload of {len(payload):,} bytes is over the limit of {limit:,} bytes for one record.",
            hint="Give the path of a file instead, and let the skill read it.",
        )
    properties = body.get("properties") or {}
    if not isinstance(properties, dict):
        raise InvalidInput("'properties' is not an object.")
    return Invocation(
        project_id=project_id,
        kind=kind,
        name=request.path_params["name"],
        entry=request.path_params["entry"],
        payload=payload,
        activation_id=_activation_id(body),
        properties=properties,
        session_id=str(body.get("sessionId") or ""),
        correlation_id=str(body.get("correlationId") or ""),
        headers=dict(request.headers),
        workspace=unquote(request.headers.get(WORKSPACE_HEADER, "")),
    )


def _activation_id(body: dict[str, Any]) -> str:
    given = body.get("activationId") or ""
    if given and not ACTIVATION_ID.fullmatch(str(given)):
        raise InvalidInput(
            "'activationId' is 8 to 64 letters, digits, '-' and '_'.", hint="Leave it out to have one made."
        )
    return str(given)


# Names contain slashes, escaped by some clients and not by others: the paths match greedily (reference/fabric.md 6.3 h).
P = "/fabric/v4/projects/{project}"
ROUTES = [
    Route(P + "/skills", save_skill, methods=["POST"]),
    Route(P + "/skills", list_skills, methods=["GET"]),
    Route(P + "/skills/{name:path}", show_skill, methods=["GET"]),
    Route(P + "/agents", save_agent, methods=["POST"]),
    Route(P + "/agents", list_agents, methods=["GET"]),
    Route(P + "/agents/{name:path}", show_agent, methods=["GET"]),
    Route(P + "/skillinvoke/{name:path}/inputs/{entry}", invoke_skill, methods=["POST"]),
    Route(P + "/agentinvoke/{name:path}/services/{entry}", invoke_agent, methods=["POST"]),
]

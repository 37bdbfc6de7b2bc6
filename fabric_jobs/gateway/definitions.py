"""Skills and agents: save, list, show, versions, deploy, delete (docs/reference/http.md)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fabric_jobs.documents import agent_from_json, skill_from_json, to_yaml
from fabric_jobs.documents.parameters import with_parameters, without_empty_parameters
from fabric_jobs.errors import InUse, InvalidInput, NotFound, NotThereYet, RecordTooLarge
from fabric_jobs.gateway.json_response import Json, object_of
from fabric_jobs.gateway.listing import page_of
from fabric_jobs.gateway.not_yet import refuse_query
from fabric_jobs.gateway.parts import flag_of, milliseconds, owners_own, parts_of, project_of, registered
from fabric_jobs.names import nearest
from fabric_jobs.records import SavedDefinition
from fabric_jobs.store import Tx, definitions
from fabric_jobs.store.sql import Sql

# The directory of the skill's files, percent-encoded; only the owner's socket takes it.
SOURCE_HEADER = "x-fabric-source"
# The images that these files were built into, by action: percent-encoded JSON.
IMAGES_HEADER = "x-fabric-images"
DEPLOYED = "is deployed: saving it did that"
SORTED_BY = ("name", "title", "updatedAt", "_version")
DEPLOYING = ("verbose", "stereotypes")
IDLE = "has nothing to undeploy: it runs when it is invoked; delete it to take it out of use"


async def save_skill(request: Request) -> Response:
    """Keep a skill; an unchanged one keeps its version."""
    return await _save(request, "skill")


async def save_agent(request: Request) -> Response:
    """Keep an agent; an unchanged one keeps its version."""
    return await _save(request, "agent")


async def list_skills(request: Request) -> Response:
    """List the newest version of every skill."""
    return Json({"success": True, "skills": await _listed(request, "skill")})


async def list_agents(request: Request) -> Response:
    """List the newest version of every agent."""
    return Json({"success": True, "agents": await _listed(request, "agent")})


async def show_skill(request: Request) -> Response:
    """Show the document of a skill."""
    return await _show(request, "skill")


async def show_agent(request: Request) -> Response:
    """Show the document of an agent."""
    return await _show(request, "agent")


async def list_skill_versions(request: Request) -> Response:
    """List all versions of a skill."""
    return _versions(request, "skill")


async def list_agent_versions(request: Request) -> Response:
    """List all versions of an agent."""
    return _versions(request, "agent")


async def deploy_skill(request: Request) -> Response:
    """Start the daemons of a skill; the rest can be invoked since it was saved. With `dryrun` say only what would start."""
    refuse_query(request, *DEPLOYING)
    project_of(request)
    await registered(request)
    saved = _find(request, "skill")
    if flag_of(request, "dryrun"):
        skill = await asyncio.to_thread(skill_from_json, saved.body)
        names = [action.name for action in skill.actions if action.type == "daemon"]
        what = f"would start its daemons: {', '.join(names)}" if names else "would start nothing: it has no daemon"
        return _deployed(request, "skill", f"is not deployed by a dry run. It {what}")
    count = await asyncio.to_thread(parts_of(request).engine.deploy, saved)
    daemons = "its daemon starts" if count == 1 else f"its {count} daemons start"
    return _deployed(request, "skill", f"is deployed, and {daemons}" if count else DEPLOYED)


async def deploy_agent(request: Request) -> Response:
    """Say that a saved agent is deployed: here that is the same."""
    refuse_query(request, *DEPLOYING)
    flag_of(request, "dryrun")  # nothing is done either way
    return _deployed(request, "agent", DEPLOYED)


async def undeploy_skill(request: Request) -> Response:
    """Say that a skill takes nothing while nobody invokes it."""
    refuse_query(request, *DEPLOYING)
    return _deployed(request, "skill", IDLE)


async def undeploy_agent(request: Request) -> Response:
    """Say that an agent takes nothing while nobody invokes it."""
    refuse_query(request, *DEPLOYING)
    return _deployed(request, "agent", IDLE)


async def delete_skill(request: Request) -> Response:
    """Take a skill out of use; refused while an agent names it."""
    return await _delete(request, "skill")


async def delete_agent(request: Request) -> Response:
    """Take an agent out of use."""
    return await _delete(request, "agent")


async def _save(request: Request, kind: str) -> Response:
    parts, project_id = parts_of(request), project_of(request)
    body = await _definition(request, kind, parts.settings.definition_bytes)
    # Not in the loop's thread: reading a long one takes a second, in which nobody else would be answered.
    name = await asyncio.to_thread(_name_of, kind, body)
    body = without_empty_parameters(body)
    programs = definitions.Programs(source=unquote(owners_own(request, SOURCE_HEADER)), images=_images(request))
    new = definitions.NewDefinition(project_id=project_id, kind=kind, name=name, body=body, programs=programs)
    version = definitions.kept(parts.store.read, new)  # mostly it is, and needs no transaction
    if version is None:
        version = await asyncio.wrap_future(parts.store.write(lambda tx: definitions.save(tx, new)))
    return Json({"success": True, "version": version, "message": f"{kind} '{name}' is saved as version {version}."})


async def _definition(request: Request, kind: str, limit: int) -> dict[str, Any]:
    try:
        return await object_of(request, limit)
    except RecordTooLarge as error:
        raise RecordTooLarge(
            f"the {kind} is over the limit of {limit:,} bytes for a definition.",
            hint="FABRIC_JOBS_DEFINITION_BYTES of the owner sets another limit.",
        ) from error


def _name_of(kind: str, body: dict[str, Any]) -> str:
    return (skill_from_json(body) if kind == "skill" else agent_from_json(body)).name


def _images(request: Request) -> dict[str, str]:
    try:
        found = json.loads(unquote(owners_own(request, IMAGES_HEADER)) or "{}")
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(image, str) for image in found.values()):
        raise InvalidInput(f"'{IMAGES_HEADER}' is an object with the image of each action, percent-encoded.")
    return found


async def _listed(request: Request, kind: str) -> list[Mapping[str, Any]]:
    project_id = project_of(request)
    await registered(request)
    rows = [_summary(saved) for saved in definitions.newest(parts_of(request).store.read, project_id, kind)]
    return page_of(request, rows, SORTED_BY)


def _summary(saved: SavedDefinition) -> dict[str, Any]:
    return {
        "name": saved.name,
        "title": saved.body.get("title") or "",
        "description": saved.body.get("description") or "",
        "updatedAt": milliseconds(saved.saved_at),
        "_version": saved.version,
    }


async def _show(request: Request, kind: str) -> Response:
    refuse_query(request, "verbose")
    output = request.query_params.get("output") or "json"
    if output in ("k8s", "openapi"):
        raise NotThereYet(f"'output={output}' is not there yet.", hint="There is json and yaml.")
    if output not in ("json", "yaml"):
        raise InvalidInput(f"'output' is json or yaml, not '{output}'.")
    project_of(request)  # who may not call has nothing looked at
    await registered(request)
    saved = _find(request, kind)
    shown = {**with_parameters(saved.body), "_version": saved.version, "updatedAt": milliseconds(saved.saved_at)}
    if output == "json":
        return Json(shown)
    text = await asyncio.to_thread(to_yaml, shown)  # slow for a long one
    return Response(text, media_type="application/yaml")


def _find(request: Request, kind: str) -> SavedDefinition:
    project_id, name = project_of(request), request.path_params["name"]
    sql = parts_of(request).store.read
    saved = definitions.find(sql, project_id, kind, name)
    if saved is None:
        raise _no_such(sql, project_id, kind, name)
    return saved


def _no_such(sql: Sql, project_id: str, kind: str, name: str) -> NotFound:
    known = [item.name for item in definitions.newest(sql, project_id, kind)]
    return NotFound(f"there is no {kind} '{name}'.", hint=nearest(name, known))


def _versions(request: Request, kind: str) -> Response:
    saved = _find(request, kind)
    found = definitions.versions(parts_of(request).store.read, saved.project_id, kind, saved.name)
    return Json({"success": True, kind: [_summary(version) for version in found]})


def _deployed(request: Request, kind: str, what: str) -> Response:
    saved = _find(request, kind)
    return Json({"success": True, "message": f"{kind} '{saved.name}' {what}."})


async def _delete(request: Request, kind: str) -> Response:
    parts, project_id, name = parts_of(request), project_of(request), request.path_params["name"]

    def delete(tx: Tx) -> bool:
        if kind == "skill":
            _check_unused(tx, project_id, name)
        return definitions.delete(tx, project_id=project_id, kind=kind, name=name)

    if not await asyncio.wrap_future(parts.store.write(delete)):
        raise _no_such(parts.store.read, project_id, kind, name)
    message = f"{kind} '{name}' is deleted; activations that run keep the version that they started with."
    return Json({"success": True, "message": message})


def _check_unused(sql: Sql, project_id: str, skill: str) -> None:
    users = [
        agent.name
        for agent in definitions.newest(sql, project_id, "agent")
        if skill in {reference.skill_name for reference in agent_from_json(agent.body).skills}
    ]
    if users:
        raise InUse(
            f"skill '{skill}' is in use by {', '.join(users)}.",
            users=tuple(("agent", name) for name in users),
            hint="Delete or change what uses it first.",
        )


# A name may have slashes, so what follows it is matched first: a skill called `x/versions` is not reached by its own name.
P = "/fabric/v4/projects/{project}"
ROUTES = [
    Route(P + "/skills", save_skill, methods=["POST"]),
    Route(P + "/skills", list_skills, methods=["GET"]),
    Route(P + "/skills/{name:path}/versions", list_skill_versions, methods=["GET"]),
    Route(P + "/skills/{name:path}/deploy", deploy_skill, methods=["GET"]),
    Route(P + "/skills/{name:path}/undeploy", undeploy_skill, methods=["GET"]),
    Route(P + "/skills/{name:path}", show_skill, methods=["GET"]),
    Route(P + "/skills/{name:path}", delete_skill, methods=["DELETE"]),
    Route(P + "/agents", save_agent, methods=["POST"]),
    Route(P + "/agents", list_agents, methods=["GET"]),
    Route(P + "/agents/{name:path}/versions", list_agent_versions, methods=["GET"]),
    Route(P + "/agents/{name:path}/deploy", deploy_agent, methods=["GET"]),
    Route(P + "/agents/{name:path}/undeploy", undeploy_agent, methods=["GET"]),
    Route(P + "/agents/{name:path}", show_agent, methods=["GET"]),
    Route(P + "/agents/{name:path}", delete_agent, methods=["DELETE"]),
]

"""Skills and agents: save, list, show, versions, deploy, delete (docs/reference/http.md)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from fabric_jobs.documents import agent_from_json, skill_from_json
from fabric_jobs.documents.shown import as_stored
from fabric_jobs.errors import InUse, InvalidInput, NotFound, RecordTooLarge
from fabric_jobs.gateway.caller import owners_own
from fabric_jobs.gateway.describing import OUTPUT, described, kubernetes
from fabric_jobs.gateway.json_response import Json, object_of
from fabric_jobs.gateway.listing import by, page_of, where
from fabric_jobs.gateway.operation import Call, Operation
from fabric_jobs.gateway.parameters import SKIP, P, flag, header, whole
from fabric_jobs.gateway.parts import Parts
from fabric_jobs.gateway.shown import summaries
from fabric_jobs.names import nearest
from fabric_jobs.records import SavedDefinition
from fabric_jobs.store import Tx, definitions, documents
from fabric_jobs.store.sql import Sql

DEPLOYED = "is deployed: saving it did that"
IDLE = "has nothing to undeploy: it runs when it is invoked; delete it to take it out of use"


SOURCE = header(
    "x-fabric-source",
    "The directory of the skill's files, percent-encoded; over the Unix socket only. Without it a skill that has not changed keeps "
    "its directory; any other has no files, and runs from its images only, those that `image` of its actions names.",
    maxLength=0,  # over TCP, as the document is for
)
IMAGES = header(
    "x-fabric-images",
    'The image of each action as percent-encoded JSON, such as `{"score": "score-delays:7c89cae0d81d"}`; over the Unix socket '
    "only.",
    maxLength=0,
)
WHERE = where('A [JSON object](#filter-and-sort) such as `{"name": "word-count"}`.', '{"name":"echo"}')
SORT = by("name", "title", "updatedAt", "_version")
MANY = whole("limit", "How many at most; all by default.", None, low=1)
DRY_RUN = flag(
    "dryrun",
    "Start nothing; `message` names what would start, and `items` what would [run on Kubernetes](../howto/describe.md).",
)
CHECK = flag(
    "check",
    "With `dryrun`: also ask the gateway's cluster whether it [takes these objects](../howto/kubernetes.md#look-before-you-run); "
    "`verdicts` has its answers.",
)
COLD = flag("cold", "With `dryrun`: what would run without [warm starts](../howto/warm-starts.md).")


async def save_skill(call: Call) -> Response:
    """Save a version of a skill; an unchanged one keeps its number."""
    programs = definitions.Programs(source=owners_own(call, SOURCE), images=_images(call))
    return await _save(call, "skill", programs)


async def save_agent(call: Call) -> Response:
    """Save a version of an agent; an unchanged one keeps its number."""
    return await _save(call, "agent", definitions.Programs())


async def list_skills(call: Call) -> Response:
    """List the newest version of every skill."""
    return Json({"success": True, "skills": await _listed(call, "skill")})


async def list_agents(call: Call) -> Response:
    """List the newest version of every agent."""
    return Json({"success": True, "agents": await _listed(call, "agent")})


async def show_skill(call: Call) -> Response:
    """Show a skill as it was saved, as what would run, or as the interface that it has."""
    return await _show(call, "skill")


async def show_agent(call: Call) -> Response:
    """Show an agent as it was saved, as what would run, or as the interface that it has."""
    return await _show(call, "agent")


async def list_skill_versions(call: Call) -> Response:
    """List all versions of a skill, the newest first."""
    return await _versions(call, "skill")


async def list_agent_versions(call: Call) -> Response:
    """List all versions of an agent, the newest first."""
    return await _versions(call, "agent")


async def deploy_skill(call: Call) -> Response:
    """Start the daemons of a skill; everything else can be invoked once it is saved.

    Running daemons keep running. A skill that was saved without its files runs in containers.
    """
    await registered(call)
    saved = _find(call, "skill")
    if call.of(DRY_RUN):
        skill = await asyncio.to_thread(skill_from_json, saved.body)
        names = [action.name for action in skill.actions if action.type == "daemon"]
        what = f"would start its daemons: {', '.join(names)}" if names else "would start nothing: it has no daemon"
        return await _not_done(call, saved, what)
    count = await asyncio.to_thread(call.parts.engine.deploy, saved)
    daemons = "its daemon starts" if count == 1 else f"its {count} daemons start"
    return _done(saved, f"is deployed, and {daemons}" if count else DEPLOYED)


async def deploy_agent(call: Call) -> Response:
    """Report that a saved agent is deployed: saving it was enough."""
    saved = _find(call, "agent")
    if call.of(DRY_RUN):
        return await _not_done(call, saved, "would start nothing: its skills run when it is invoked")
    return _done(saved, DEPLOYED)


async def undeploy_skill(call: Call) -> Response:
    """Report that there is nothing to undo: a skill that is not invoked uses no resources."""
    return _done(_find(call, "skill"), IDLE)


async def undeploy_agent(call: Call) -> Response:
    """Report that there is nothing to undo: an agent that is not invoked uses no resources."""
    return _done(_find(call, "agent"), IDLE)


async def delete_skill(call: Call) -> Response:
    """Delete a skill; running activations keep their version.

    403 while an agent uses the skill. A skill that is saved again gets the next version number.
    """
    return await _delete(call, "skill")


async def delete_agent(call: Call) -> Response:
    """Delete an agent; running activations keep their version."""
    return await _delete(call, "agent")


async def registered(call: Call) -> None:
    """Return once the gateway has the current files of its workspace. Mostly this only looks at a few file times."""
    if call.parts.registration is not None:
        await asyncio.to_thread(call.parts.registration.look)


def check_file(parts: Parts, kind: str, project_id: str, name: str) -> None:
    """Raise InvalidDefinition if a needed file is invalid now: silently running its last valid version would surprise."""
    registration = parts.registration
    if registration is None or project_id != parts.settings.project_id:
        return
    registration.check(kind, [name])
    saved = definitions.find(parts.store.read, project_id, kind, name)
    if kind == "agent" and saved is not None:
        registration.check("skill", [str(use.get("skillName")) for use in saved.body.get("skills") or ()])


async def _save(call: Call, kind: str, programs: definitions.Programs) -> Response:
    parts = call.parts
    body = await definition_of(call, kind, parts.settings.definition_bytes)
    # Not in the loop's thread: a long one takes a second to read, and would block all other callers.
    elsewhere = {action.name for action in documents.newest(parts.store.read, call.project, "action")}
    name = await asyncio.to_thread(_name_of, kind, body, elsewhere)
    body = as_stored(body)
    new = definitions.NewDefinition(
        project_id=call.project, kind=kind, name=name, body=body, programs=programs, saved_by=call.caller.username
    )
    version = definitions.kept(parts.store.read, new)  # usually it is there, and needs no transaction
    if version is None:
        version = await asyncio.wrap_future(parts.store.write(lambda tx: definitions.save(tx, new)))
    return Json({"success": True, "version": version, "message": f"{kind} '{name}' is saved as version {version}."})


async def definition_of(call: Call, kind: str, limit: int) -> dict[str, Any]:
    """Return the body of a call; raise RecordTooLarge above `limit` bytes, InvalidInput if it is not an object."""
    try:
        return await object_of(call, limit)
    except RecordTooLarge as error:
        raise RecordTooLarge(
            f"the {kind} is over the limit of {limit:,} bytes for a definition.",
            hint="Change the limit with FABRIC_JOBS_DEFINITION_BYTES of the owner.",
        ) from error


def _name_of(kind: str, body: dict[str, Any], elsewhere: set[str]) -> str:
    return (skill_from_json(body, elsewhere=elsewhere) if kind == "skill" else agent_from_json(body)).name


def _images(call: Call) -> dict[str, str]:
    try:
        found = json.loads(owners_own(call, IMAGES) or "{}")
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(image, str) for image in found.values()):
        raise InvalidInput(f"'{IMAGES.name}' is an object with the image of each action, percent-encoded.")
    return found


async def _listed(call: Call, kind: str) -> list[Mapping[str, Any]]:
    await registered(call)
    sql = call.parts.store.read
    rows = summaries(sql, definitions.newest(sql, call.project, kind))
    found, skip, limit = page_of(rows, call.of(WHERE), call.of(SORT)), call.of(SKIP), call.of(MANY)
    return found[skip : None if limit is None else skip + limit]


async def _show(call: Call, kind: str) -> Response:
    await registered(call)
    saved = _find(call, kind)
    return await described(call.parts, saved, call.of(OUTPUT))


def _find(call: Call, kind: str) -> SavedDefinition:
    sql, name = call.parts.store.read, call.path_params["name"]
    saved = definitions.find(sql, call.project, kind, name)
    if saved is None:
        raise _no_such(sql, call.project, kind, name)
    return saved


def _no_such(sql: Sql, project_id: str, kind: str, name: str) -> NotFound:
    known = [item.name for item in definitions.newest(sql, project_id, kind)]
    return NotFound(f"there is no {kind} '{name}'.", hint=nearest(name, known))


async def _versions(call: Call, kind: str) -> Response:
    saved = _find(call, kind)
    sql = call.parts.store.read
    found = definitions.versions(sql, saved.project_id, kind, saved.name)
    return Json({"success": True, kind: summaries(sql, found)})


def _done(saved: SavedDefinition, what: str) -> Response:
    return Json({"success": True, "message": f"{saved.kind} '{saved.name}' {what}."})


async def _not_done(call: Call, saved: SavedDefinition, what: str) -> Response:
    message = f"{saved.kind} '{saved.name}' is not deployed by a dry run. It {what}."
    found = await asyncio.to_thread(kubernetes, call.parts, saved, cold=call.of(COLD))
    if call.of(CHECK):
        from fabric_jobs.gateway import dry_run  # late: few ask for it

        found |= await asyncio.to_thread(dry_run.asked, found["items"])
    return Json({"success": True, "message": message, **found})


async def _delete(call: Call, kind: str) -> Response:
    parts, project_id, name = call.parts, call.project, call.path_params["name"]

    def delete(tx: Tx) -> bool:
        if kind == "skill":
            check_unused(tx, project_id, name)
        return definitions.delete(tx, project_id=project_id, kind=kind, name=name)

    if not await asyncio.wrap_future(parts.store.write(delete)):
        raise _no_such(parts.store.read, project_id, kind, name)
    message = f"{kind} '{name}' is deleted; running activations keep their version."
    return Json({"success": True, "message": message})


def check_unused(sql: Sql, project_id: str, skill: str) -> None:
    """Raise InUse if an agent needs a skill."""
    users = [
        agent.name
        for agent in definitions.newest(sql, project_id, "agent")
        if skill in {reference.skill_name for reference in agent_from_json(agent.body).skills}
    ]
    if users:
        raise InUse(
            f"skill '{skill}' is in use by {', '.join(users)}.",
            users=tuple(("agent", name) for name in users),
            hint="Delete or change its users first.",
        )


SKILLS, SKILL = P + "/skills", P + "/skills/{name:path}"
AGENTS, AGENT = P + "/agents", P + "/agents/{name:path}"
FORMS = ("Yaml", "Kubernetes", "Interface")
SHOWN_SKILL, SHOWN_AGENT = ("SavedSkill", *FORMS), ("SavedAgent", *FORMS)
LISTED = (WHERE, SORT, MANY, SKIP)
DEPLOYING = ("verbose", "stereotypes")
# A name may have slashes, so longer paths are matched first. A skill named `x/versions` cannot be reached by its name.
OPERATIONS = (
    Operation(
        "POST", SKILLS, save_skill, parameters=(SOURCE, IMAGES), body="SkillOrApi", is_read=False, answer="Saved"
    ),
    Operation("GET", SKILLS, list_skills, parameters=LISTED, answer="Skills", errors=("501",)),
    Operation("GET", SKILL + "/versions", list_skill_versions, answer="SkillVersions"),
    Operation(
        "GET",
        SKILL + "/deploy",
        deploy_skill,
        parameters=(DRY_RUN, CHECK, COLD),
        answer=("Done", "DryRun"),
        not_yet=DEPLOYING,
        role="run",
    ),
    Operation("GET", SKILL + "/undeploy", undeploy_skill, answer="Done", not_yet=DEPLOYING, role="run"),
    Operation("GET", SKILL, show_skill, parameters=(OUTPUT,), answer=SHOWN_SKILL, not_yet=("verbose",)),
    Operation("DELETE", SKILL, delete_skill, answer="Done", errors=("403",)),
    Operation("POST", AGENTS, save_agent, body="Agent", is_read=False, answer="Saved"),
    Operation("GET", AGENTS, list_agents, parameters=LISTED, answer="Agents", errors=("501",)),
    Operation("GET", AGENT + "/versions", list_agent_versions, answer="AgentVersions"),
    Operation(
        "GET",
        AGENT + "/deploy",
        deploy_agent,
        parameters=(DRY_RUN, CHECK, COLD),
        answer=("Done", "DryRun"),
        not_yet=DEPLOYING,
        role="run",
    ),
    Operation("GET", AGENT + "/undeploy", undeploy_agent, answer="Done", not_yet=DEPLOYING, role="run"),
    Operation("GET", AGENT, show_agent, parameters=(OUTPUT,), answer=SHOWN_AGENT, not_yet=("verbose",)),
    Operation("DELETE", AGENT, delete_agent, answer="Done"),
)

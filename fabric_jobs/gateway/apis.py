"""Batch and Task APIs: deploy, list, show, delete. See [deploying](../howto/deploy-apis.md)."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.responses import Response

from fabric_jobs.errors import NotFound
from fabric_jobs.gateway import cortex
from fabric_jobs.gateway.definitions import check_unused, registered
from fabric_jobs.gateway.json_response import Json
from fabric_jobs.gateway.operation import Call, Operation
from fabric_jobs.gateway.parameters import P, text
from fabric_jobs.names import nearest
from fabric_jobs.records import SavedDefinition
from fabric_jobs.store import Tx, activations, definitions, jobs

CONFIG_FILE = "cortex.yaml"
FILE = text("configFileName", f"What messages call the API file; by default `{CONFIG_FILE}`.")


async def deploy_apis(call: Call) -> Response:
    """Deploy all APIs of a file, or none: a form with the API file and the archive of its project.

    A redeployed API gets a new version; jobs that run keep the version, and the files, that they were submitted with.
    """
    from fabric_jobs.gateway import deploying  # late: most owners have no APIs

    outcomes = await deploying.deploy(call, call.project, call.of(FILE) or CONFIG_FILE)
    return Json({"success": True, "apis": [{**_row(call, saved), "message": said} for saved, said in outcomes]})


async def list_apis(call: Call) -> Response:
    """List the deployed APIs by name."""
    await registered(call)
    sql = call.parts.store.read
    counts = jobs.live_counts(sql, call.project)
    found = cortex.deployed(sql, call.project)
    return Json(
        {"success": True, "apis": [{**_row(call, saved), "running": counts.get(saved.name, 0)} for saved in found]}
    )


async def show_api(call: Call) -> Response:
    """Show an API: its specification, its versions, and how many of its jobs have not ended."""
    await registered(call)
    sql, name = call.parts.store.read, call.path_params["api"]
    saved = definitions.find(sql, call.project, "skill", name)
    if saved is None or not cortex.is_api(saved):
        raise _not_deployed(call, call.project, name)
    found = definitions.versions(sql, call.project, "skill", name)
    versions = [_row(call, each) for each in found if cortex.is_api(each)]
    running = len(jobs.live(sql, call.project, name))
    return Json(
        {
            "success": True,
            "api": {**_row(call, saved), "running": running, "spec": cortex.spec_of(saved), "versions": versions},
        }
    )


async def delete_api(call: Call) -> Response:
    """Delete an API, and stop its jobs; what is known of them stays.

    403 while an agent uses the API as a skill.
    """
    name = call.path_params["api"]
    stopped = await delete(call, call.project, name)
    jobs_too = f"; {stopped} of its jobs {'is' if stopped == 1 else 'are'} being stopped" if stopped else ""
    return Json({"success": True, "message": f"API '{name}' is deleted{jobs_too}."})


async def delete(call: Call, project_id: str, name: str) -> int:
    """Delete an API, and stop its jobs; return how many run. Raises NotFound, and InUse if an agent needs it."""

    def operation(tx: Tx) -> int | None:
        saved = definitions.find(tx, project_id, "skill", name)
        if saved is None or not cortex.is_api(saved):
            return None
        check_unused(tx, project_id, name)
        definitions.delete(tx, project_id=project_id, kind="skill", name=name)
        live = jobs.live(tx, project_id, name)
        for job in live:
            activations.ask_cancel(tx, job.activation_id, project_id, "its API was deleted")
        return len(live)

    stopped = await asyncio.wrap_future(call.parts.store.write(operation))
    if stopped is None:
        raise _not_deployed(call, project_id, name)
    return stopped


def _not_deployed(call: Call, project_id: str, name: str) -> NotFound:
    known = [saved.name for saved in cortex.deployed(call.parts.store.read, project_id)]
    hint = nearest(name, known) or "Deploy it first: fabric-jobs jobs deploy FILE"
    return NotFound(f"there is no API '{name}'.", hint=hint)


def _row(call: Call, saved: SavedDefinition) -> dict[str, Any]:
    return {
        "name": saved.name,
        "kind": cortex.kind_of(saved),
        "version": saved.version,
        "endpoint": cortex.endpoint_of(saved),
        "url": cortex.url_of(call, saved),
        "updatedAt": round(saved.saved_at * 1000),
        "createdBy": saved.saved_by,
    }


ALL, ONE = P + "/apis", P + "/apis/{api}"
OPERATIONS = (
    Operation(
        "POST",
        ALL,
        deploy_apis,
        parameters=(FILE,),
        body="ApiForm",
        is_read=False,
        answer="DeployedApis",
        errors=("409",),
    ),
    Operation("GET", ALL, list_apis, answer="Apis"),
    Operation("GET", ONE, show_api, answer="OneApi"),
    Operation("DELETE", ONE, delete_api, answer="Done", errors=("403",)),
)

"""The routes of Cortex Labs' operator about APIs: what its command and its Python client call."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from starlette.responses import Response

import fabric_jobs
from fabric_jobs.apis import BATCH
from fabric_jobs.engine.job_document import api_id
from fabric_jobs.errors import Forbidden, WrongRequest
from fabric_jobs.gateway import cortex
from fabric_jobs.gateway.apis import delete
from fabric_jobs.gateway.definitions import registered
from fabric_jobs.gateway.job_answers import facts_of, job_json
from fabric_jobs.gateway.json_response import Json
from fabric_jobs.gateway.operation import Call, Operation
from fabric_jobs.gateway.parameters import flag, text
from fabric_jobs.records import SavedDefinition
from fabric_jobs.store import definitions, jobs

VERSIONS = 10  # in an answer
JOBS = 10  # of one API, unless more are live
CLIENT_VERSION = "0.42.1"  # of Cortex Labs' command, whose calls these are
FILE = text("configFileName", "The name of the API file.")
FORCE = flag("force", "Accepted: an update never waits for another one.")
KEEP = flag("keepCache", "Accepted: what is known of jobs is kept in any case.")
JOB_ID = text("jobID", "The id of a job.")


async def operator_deploy(call: Call) -> Response:
    """Deploy all APIs of a file, or none. People need the role `admin`; programs of jobs may deploy, too."""
    _check_may_change(call)
    file = call.of(FILE)
    if not file:
        said = "the query parameter 'configFileName' is missing."
        raise WrongRequest(said, kind="endpoints.query_param_required", hint="Name the API file, such as cortex.yaml.")
    from fabric_jobs.gateway import deploying  # late: most owners have no APIs

    outcomes = await deploying.deploy(call, cortex.project_of(call), file)
    return Json([{"api": _short(call, saved), "message": said, "error": ""} for saved, said in outcomes])


async def operator_list(call: Call) -> Response:
    """List all APIs, each with its live jobs, or else the newest one."""
    await registered(call)
    return Json(await asyncio.to_thread(_listed, call))


async def operator_show(call: Call) -> Response:
    """Show an API, with its live jobs and the newest others, as a list of one."""
    await registered(call)
    saved = cortex.find_api(call, call.path_params["api"])
    return Json([await asyncio.to_thread(_whole, call, saved)])


async def operator_show_version(call: Call) -> Response:
    """Show a version of an API by its `api_id`, as a list of one."""
    saved, wanted = cortex.find_api(call, call.path_params["api"]), call.path_params["version"]
    found = [each for each in _versions(call, saved) if api_id(each) == wanted]
    if not found:
        said = f"the API '{saved.name}' has no version '{wanted}'."
        raise WrongRequest(said, kind="resources.api_id_not_found", hint="See its `api_versions`.")
    return Json([_short(call, found[0])])


async def operator_delete(call: Call) -> Response:
    """Delete an API, and stop its jobs. People need the role `admin`; programs of jobs may delete, too."""
    _check_may_change(call)
    saved = cortex.find_api(call, call.path_params["api"])
    await delete(call, saved.project_id, saved.name)
    return Json({"message": f"deleting {saved.name}"})


async def operator_logs(call: Call) -> Response:
    """Tell where the logs of a job's workers are."""
    saved, job_id = cortex.find_api(call, call.path_params["api"]), call.of(JOB_ID)
    if not job_id:
        raise WrongRequest("the query parameter 'jobID' is missing.", kind="endpoints.logs_job_id_required")
    job = jobs.find(call.parts.store.read, job_id)
    if job is None or (job.project_id, job.api_name) != (saved.project_id, saved.name):
        raise WrongRequest(f"the API '{saved.name}' has no job '{job_id}'.", kind="job.not_found")
    path = f"/fabric/v4/projects/{quote(saved.project_id, safe='')}/jobs/{job_id}/logs?follow=true"
    return Json({"log_url": cortex.base_of(call) + path})


async def operator_verify(call: Call) -> Response:
    """Tell that this speaks Cortex Labs' language."""
    return Json({})


async def operator_info(call: Call) -> Response:
    """Tell what a client asks of a cluster."""
    settings = call.parts.settings
    config = {
        "cluster_name": "fabric-jobs",
        "api_version": CLIENT_VERSION,
        "operator_endpoint": cortex.base_of(call),
        "project": cortex.project_of(call),
        "executor": settings.executor,
    }
    return Json({"cluster_config": config, "version": fabric_jobs.__version__, "worker_node_infos": []})


def _check_may_change(call: Call) -> None:
    """Raise Forbidden for people without the role: a program that runs here could change the APIs in other ways, too."""
    caller = call.caller
    if not caller.attempt and not caller.may("admin"):
        raise Forbidden(f"this needs the role 'admin', and the token of '{caller.username}' has '{caller.role}'.")


def _listed(call: Call) -> list[dict[str, Any]]:
    found = cortex.deployed(call.parts.store.read, cortex.project_of(call))
    return [{**_short(call, saved), **_jobs(call, saved, 1)} for saved in found]


def _short(call: Call, saved: SavedDefinition) -> dict[str, Any]:
    spec = cortex.spec_of(saved)
    keys = ("name", "kind", "id", "pod_id", "last_updated")
    return {
        "spec": spec,
        "metadata": {**{key: spec[key] for key in keys}, "api_id": spec["id"]},
        "endpoint": cortex.url_of(call, saved),
        "dashboard_url": "",
    }


def _whole(call: Call, saved: SavedDefinition) -> dict[str, Any]:
    versions = [
        {"api_id": api_id(each), "last_updated": int(each.saved_at)} for each in _versions(call, saved)[:VERSIONS]
    ]
    return {**_short(call, saved), "api_versions": versions, **_jobs(call, saved, JOBS)}


def _jobs(call: Call, saved: SavedDefinition, most: int) -> dict[str, Any]:
    """Return the live jobs of an API, and if they are fewer than `most`, the newest others."""
    sql = call.parts.store.read
    live = jobs.live(sql, saved.project_id, saved.name)
    wanted = jobs.JobFilter(project_id=saved.project_id, api_name=saved.name, is_live=False, limit=most)
    others = jobs.listed(sql, wanted)[: max(0, most - len(live))]
    key = "batch_job_statuses" if cortex.kind_of(saved) == BATCH else "task_job_statuses"
    return {key: [job_json(facts_of(call.parts, job)) for job in (*live, *others)]}


def _versions(call: Call, saved: SavedDefinition) -> list[SavedDefinition]:
    found: Iterable[SavedDefinition] = definitions.versions(
        call.parts.store.read, saved.project_id, "skill", saved.name
    )
    return [each for each in found if cortex.is_api(each)]


ONE = "/get/{api}"
OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "POST",
        "/deploy",
        operator_deploy,
        parameters=(FILE, FORCE),
        body="ApiForm",
        is_read=False,
        answer="CortexDeployed",
        role="run",
        is_of_cortex=True,
    ),
    Operation("GET", "/get", operator_list, answer="CortexApis", is_of_cortex=True),
    Operation("GET", ONE, operator_show, answer="CortexApis", is_of_cortex=True),
    Operation("GET", ONE + "/{version}", operator_show_version, answer="CortexApis", is_of_cortex=True),
    Operation(
        "DELETE",
        "/delete/{api}",
        operator_delete,
        parameters=(KEEP,),
        answer="CortexMessage",
        role="run",
        is_of_cortex=True,
    ),
    Operation(
        "GET", "/logs/{api}", operator_logs, parameters=(JOB_ID,), answer="CortexLogs", role="read", is_of_cortex=True
    ),
    Operation("GET", "/verifycortex", operator_verify, answer="CortexNothing", caller="none"),
    Operation("GET", "/info", operator_info, answer="CortexCluster", is_of_cortex=True),
)

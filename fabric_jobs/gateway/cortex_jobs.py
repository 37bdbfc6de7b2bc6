"""Jobs by the routes of Cortex Labs, by the name or by the endpoint of their API (docs/reference/jobs.md)."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.responses import Response

from fabric_jobs.apis import BATCH, TASK
from fabric_jobs.errors import WrongRequest
from fabric_jobs.gateway.cortex import find_api, find_endpoint, project_of, spec_of, url_of
from fabric_jobs.gateway.definitions import registered
from fabric_jobs.gateway.job_answers import JobFacts, facts_of, metrics_json, with_note
from fabric_jobs.gateway.jobs import stop
from fabric_jobs.gateway.json_response import Json
from fabric_jobs.gateway.operation import Call, Operation
from fabric_jobs.gateway.parameters import text
from fabric_jobs.gateway.submitting import ASKED, submit
from fabric_jobs.store import jobs

NO_JOB_ID = "endpoints.query_param_required"
NOT_FOUND = "job.not_found"
OVER = "job.job_is_not_in_progress"
JOB_ID = text("jobID", "The id of the job; required.")


async def submit_batch_job(call: Call) -> Response:
    """Submit a job to a Batch API: a list of items, paths of files, or files with items.

    With `dryRun` the answer is text: the files, a line each, and `validations passed`; or 400 with what is wrong.
    """
    await registered(call)
    return await submit(call, find_api(call, call.path_params["api"], BATCH))


async def submit_task_job(call: Call) -> Response:
    """Submit a job to a Task API."""
    await registered(call)
    return await submit(call, find_api(call, call.path_params["api"], TASK))


async def submit_job(call: Call) -> Response:
    """Submit a job to the API whose endpoint the path is, or begins with: as `POST /batch/{api}` or `POST /tasks/{api}`."""
    await registered(call)
    return await submit(call, find_endpoint(call, call.path_params["endpoint"]))


async def show_batch_job(call: Call) -> Response:
    """Show the status of a job of a Batch API, with its metrics and the specification of its API."""
    return await _shown(call, call.path_params["api"], BATCH)


async def show_task_job(call: Call) -> Response:
    """Show the status of a job of a Task API, with the specification of its API."""
    return await _shown(call, call.path_params["api"], TASK)


async def show_job_of_endpoint(call: Call) -> Response:
    """Show the status of a job of the API whose endpoint the path is, or begins with."""
    return await _shown(call, find_endpoint(call, call.path_params["endpoint"]).name)


async def stop_batch_job(call: Call) -> Response:
    """Stop a job of a Batch API. Its batches that are being handled are not waited for."""
    return await _stopped(call, call.path_params["api"], BATCH)


async def stop_task_job(call: Call) -> Response:
    """Stop a job of a Task API."""
    return await _stopped(call, call.path_params["api"], TASK)


async def stop_job_of_endpoint(call: Call) -> Response:
    """Stop a job of the API whose endpoint the path is, or begins with."""
    return await _stopped(call, find_endpoint(call, call.path_params["endpoint"]).name)


def _found(call: Call, name: str, kind: str = "") -> JobFacts:
    """Return the job that a call names; its API may have been deleted since. Raises WrongRequest."""
    sql, job_id = call.parts.store.read, call.of(JOB_ID)
    job = jobs.find(sql, job_id) if job_id else None
    if job is None or (job.project_id, job.api_name) != (project_of(call), name) or kind not in ("", job.kind):
        find_api(call, name, kind)  # what is wrong with the API comes first
        if not job_id:
            raise WrongRequest("the query needs 'jobID'.", kind=NO_JOB_ID, hint="Such as ?jobID=69d6faf82e4660d3")
        said = f"there is no job '{job_id}' of the API '{name}'."
        raise WrongRequest(said, kind=NOT_FOUND, hint="List them with `fabric-jobs jobs list`.")
    return facts_of(call.parts, job)


async def _shown(call: Call, name: str, kind: str = "") -> Response:
    return Json(await asyncio.to_thread(lambda: _answer(call, _found(call, name, kind))))


def _answer(call: Call, facts: JobFacts) -> dict[str, Any]:
    metrics = {"metrics": metrics_json(facts.counts)} if facts.job.kind == BATCH else {}
    return {
        "api_spec": spec_of(facts.saved),
        "job_status": with_note(call.parts, facts),
        **metrics,
        "endpoint": f"{url_of(call, facts.saved)}?jobID={facts.job.activation_id}",
    }


async def _stopped(call: Call, name: str, kind: str = "") -> Response:
    facts = await asyncio.to_thread(_found, call, name, kind)
    if not await stop(call.parts, facts.job):
        said = f"job {facts.job.activation_id} is not in progress: its status is {facts.status}."
        raise WrongRequest(said, kind=OVER)
    return Json({"message": f"stopped job {facts.job.activation_id}"})


SHOWN = (JOB_ID,)
OPERATIONS = tuple(
    Operation(
        method,
        path,
        handler,
        parameters=parameters,
        body=body,
        is_read=False,
        answer=answer,
        errors=("404",) if kind == "Api" else (),
        role=role,
        is_open=True,
        is_of_cortex=True,
    )
    for path, kind, handlers in (
        ("/batch/{api}", "Batch", (submit_batch_job, show_batch_job, stop_batch_job)),
        ("/tasks/{api}", "Task", (submit_task_job, show_task_job, stop_task_job)),
        ("/{endpoint:endpoint}", "Api", (submit_job, show_job_of_endpoint, stop_job_of_endpoint)),
    )
    for method, handler, parameters, body, answer, role in (
        ("POST", handlers[0], ASKED, f"{kind}Submission", ("SubmittedJob", "Text"), "run"),
        ("GET", handlers[1], SHOWN, "", "ShownJob", "read"),
        ("DELETE", handlers[2], SHOWN, "", "StoppedJob", "run"),
    )
)

"""The web socket by which Cortex Labs' command follows the logs of a job (docs/reference/jobs.md#logs)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import cast

import orjson
from starlette.requests import Request
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from fabric_jobs.errors import FabricJobsError, WrongRequest
from fabric_jobs.gateway.caller import authorize
from fabric_jobs.gateway.cortex import find_api, project_of
from fabric_jobs.gateway.cortex_errors import answer_cortex_error
from fabric_jobs.gateway.job_logs import followed
from fabric_jobs.gateway.operation import Call
from fabric_jobs.jobs import Job
from fabric_jobs.store import jobs

ROLE = "read"
NO_JOB_ID = "endpoints.logs_job_id_required"
NOT_FOUND = "job.not_found"
NOTHING = "the job has ended, and its workers have printed nothing"


async def serve(websocket: WebSocket) -> None:
    """Send what the workers of a job print, a frame a line, until the job or the connection ends."""
    request = cast(Request, websocket)  # what is read of it is the same
    try:
        authorize(request, ROLE)
        call = Call({**websocket.scope, "type": "http", "method": "GET"}, websocket.receive)
        job = _job_of(call)
    except FabricJobsError as error:
        await websocket.send_denial_response(answer_cortex_error(error))
        return
    await websocket.accept()
    sending = asyncio.create_task(_send(websocket, call, job))
    leaving = asyncio.create_task(_until_gone(websocket))
    try:
        await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (sending, leaving):
            task.cancel()
        await asyncio.gather(sending, leaving, return_exceptions=True)


async def _send(websocket: WebSocket, call: Call, job: Job) -> None:
    with suppress(WebSocketDisconnect):
        has_said = False
        async for line in _lines(followed(call.parts, job, "")):
            has_said = True
            await websocket.send_text(line)
        if not has_said:
            await websocket.send_text(NOTHING)
        await websocket.close()


async def _until_gone(websocket: WebSocket) -> None:
    """Wait until the other side has left; what it says has no meaning."""
    while (await websocket.receive())["type"] != "websocket.disconnect":
        pass


def _job_of(call: Call) -> Job:
    saved, job_id = find_api(call, call.path_params["api"]), call.query_params.get("jobID", "")
    if not job_id:
        raise WrongRequest("the query needs 'jobID'.", kind=NO_JOB_ID, hint="Such as ?jobID=69d6faf82e4660d3")
    job = jobs.find(call.parts.store.read, job_id)
    if job is None or (job.project_id, job.api_name) != (project_of(call), saved.name):
        raise WrongRequest(f"there is no job '{job_id}' of the API '{saved.name}'.", kind=NOT_FOUND)
    return job


async def _lines(pieces: AsyncIterator[bytes]) -> AsyncIterator[str]:
    """Yield the lines in the pieces of several logs; the last line of a log may have no end."""
    rests: dict[tuple[str, int, str], str] = {}
    async for piece in pieces:
        found = orjson.loads(piece)
        key = (found["worker"], found["attempt"], found["stream"])
        *lines, rests[key] = (rests.get(key, "") + found["log"]).split("\n")
        for line in lines:
            yield shown(line)
    for rest in filter(None, rests.values()):
        yield shown(rest)


def shown(line: str) -> str:
    """Return a line as Cortex Labs' command shows it: of JSON the message, and below it the exception."""
    try:
        found = json.loads(line) if line.startswith("{") else None
    except ValueError:
        found = None
    if not isinstance(found, dict):
        return line
    message = found.get("message", found.get("msg"))
    if not isinstance(message, str):
        return line
    exception = found.get("exc_info")
    return f"{message}\n{exception}" if isinstance(exception, str) and exception else message


ROUTES = (WebSocketRoute("/streamlogs/{api}", serve),)

"""Invokes a skill or an agent; `?sync=true` answers with the record of the activation (docs/reference/http.md)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from fabric_jobs.engine.invoke import Invocation
from fabric_jobs.errors import InvalidInput, RecordTooLarge
from fabric_jobs.gateway.activations import wait_for_end, waiting_of
from fabric_jobs.gateway.json_response import Json, compact, dumps, object_of
from fabric_jobs.gateway.not_yet import refuse, refuse_query
from fabric_jobs.gateway.parts import Parts, flag_of, handed_over, owners_own, parts_of, project_of, registered
from fabric_jobs.names import nearest
from fabric_jobs.shell import INVOKER
from fabric_jobs.store import activations, definitions

# The directory of the caller's workspace, percent-encoded; only the owner's socket takes it.
WORKSPACE_HEADER = "x-fabric-workspace"
ACTIVATION_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")
CALLBACK = "callbackUrl"  # also a property (docs/reference/compatibility.md#callbacks)
LATER = ("scheduleName", "scheduleCron", CALLBACK)
HEARTBEAT_SECONDS = 0.4  # docs/reference/compatibility.md#silence


async def invoke_skill(request: Request) -> Response:
    """Start an activation of a skill."""
    return await _invoke(request, "skill")


async def invoke_agent(request: Request) -> Response:
    """Start an activation of an agent."""
    return await _invoke(request, "agent")


async def _invoke(request: Request, kind: str) -> Response:
    parts, project_id = parts_of(request), project_of(request)
    sync = flag_of(request, "sync")
    body = await object_of(request, parts.settings.body_bytes)
    refuse_query(request, *LATER)
    refuse(body, *LATER)
    await registered(request)
    check_file(parts, kind, project_id, request.path_params["name"])
    activation_id = await asyncio.wrap_future(parts.engine.invoke(_invocation(request, kind, project_id, body)))
    if sync:
        waiting = asyncio.create_task(wait_for_end(parts, activation_id))
        done, _ = await asyncio.wait([waiting], timeout=HEARTBEAT_SECONDS)
        if done:
            return Json(waiting.result())
        return StreamingResponse(_record(waiting), media_type="application/json")
    answer: dict[str, Any] = {"success": True, "activationId": activation_id}
    started = activations.find(parts.store.read, activation_id) if activations.some_wait(parts.store.read) else None
    return Json(answer if started is None else {**answer, **waiting_of(parts, started)})


def check_file(parts: Parts, kind: str, project_id: str, name: str) -> None:
    """Raise InvalidDefinition when a file that is needed is wrong now: the last one that was right would be a surprise."""
    registration = parts.registration
    if registration is None or project_id != parts.settings.project_id:
        return
    registration.check(kind, [name])
    saved = definitions.find(parts.store.read, project_id, kind, name)
    if kind == "agent" and saved is not None:
        registration.check("skill", [str(use.get("skillName")) for use in saved.body.get("skills") or ()])


async def _record(waiting: asyncio.Task[dict[str, Any]]) -> AsyncIterator[bytes]:
    """Yield white space while the activation runs, from now on, and then its record: together that is JSON."""
    try:
        while True:
            yield b" "
            done, _ = await asyncio.wait([waiting], timeout=HEARTBEAT_SECONDS)
            if done:
                break
    finally:
        waiting.cancel()  # the caller went away; the activation runs on
    yield dumps(waiting.result())


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
    properties = {} if body.get("properties") is None else body["properties"]
    if not isinstance(properties, dict):
        raise InvalidInput("'properties' is not an object.")
    refuse(properties, CALLBACK)
    return Invocation(
        project_id=project_id,
        kind=kind,
        name=request.path_params["name"],
        entry=request.path_params["entry"],
        payload=payload,
        activation_id=_activation_id(body),
        properties=properties,
        session_id=_text(body, "sessionId"),
        correlation_id=_text(body, "correlationId"),
        headers=dict(request.headers),
        workspace=unquote(owners_own(request, WORKSPACE_HEADER)),
        shell=handed_over(request, body),
        executor=_executor(request),
        cold=flag_of(request, "cold"),
        invoker=request.headers.get(INVOKER, ""),
        is_placed=bool(request.query_params.get("executor")),
    )


def _executor(request: Request) -> str:
    parts = parts_of(request)
    name = request.query_params.get("executor") or parts.settings.executor
    if name not in parts.executors:
        raise InvalidInput(f"there is no executor '{name}'.", hint=nearest(name, parts.executors))
    return name


def _text(body: dict[str, Any], key: str) -> str:
    value = body.get(key)
    if value is not None and not isinstance(value, str):
        raise InvalidInput(f"'{key}' is not a text.")
    return value or ""


def _activation_id(body: dict[str, Any]) -> str:
    given = _text(body, "activationId")
    if given and not ACTIVATION_ID.fullmatch(given):
        raise InvalidInput(
            "'activationId' is 8 to 64 letters, digits, '-' and '_'.", hint="Leave it out to have one made."
        )
    return given


# The paths match greedily (docs/reference/compatibility.md#slashes-in-names).
P = "/fabric/v4/projects/{project}"
ROUTES = [
    Route(P + "/skillinvoke/{name:path}/inputs/{entry}", invoke_skill, methods=["POST"]),
    Route(P + "/agentinvoke/{name:path}/services/{entry}", invoke_agent, methods=["POST"]),
]

"""Invokes a skill or an agent; `?sync=true` answers with the record of the activation (docs/reference/http.md)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from starlette.responses import Response, StreamingResponse

from fabric_jobs.engine.existing import IF_EXISTS, RETRY
from fabric_jobs.engine.invoke import Invocation, Invoked
from fabric_jobs.errors import InvalidInput, PlaceUnavailable, RecordTooLarge
from fabric_jobs.gateway import callbacks
from fabric_jobs.gateway.activations import wait_for_end, waiting_of
from fabric_jobs.gateway.caller import handed_over, owners_own
from fabric_jobs.gateway.definitions import check_file, registered
from fabric_jobs.gateway.json_response import Json, compact, dumps
from fabric_jobs.gateway.operation import Call, Operation
from fabric_jobs.gateway.parameters import P, flag, header, text
from fabric_jobs.gateway.parts import Parts
from fabric_jobs.gateway.scheduling import check_body, save_invocation
from fabric_jobs.gateway.snapshots import frozen
from fabric_jobs.names import check_activation_id, nearest
from fabric_jobs.shell import INVOKER
from fabric_jobs.store import activations

KEY_BYTES = 1024
HEARTBEAT_SECONDS = 0.4  # docs/reference/compatibility.md#silence


SYNC = flag(
    "sync",
    "Wait for the end. If that takes longer than 0.4 seconds, status and headers come then, and a blank every 0.4 seconds "
    "before the JSON.",
)
EXECUTOR = text(
    "executor",
    "Where it runs: `docker` in containers, `kubernetes` in pods of a cluster, `local` as processes; without it the owner's "
    "`serve --executor` decides.",
    enum=["local", "docker", "kubernetes"],
)
SCHEDULE_CRON = text(
    "scheduleCron",
    "Do not invoke now, but save a [schedule](../howto/schedules.md) with this cron expression, in UTC. The same request again "
    "changes nothing.",
    type="string",
    maxLength=200,
)
SCHEDULE_NAME = text("scheduleName", "The name of that schedule; that of the agent or skill by default.", type="string")
CALLBACK = text(
    "callbackUrl",
    "Where to [post the record](../howto/callbacks.md) at the end; may also be a key of the body, or of `properties`.",
    format="uri",
    type="string",
)
COLD = flag("cold", "Start every program anew, without [warm starts](../howto/warm-starts.md).")
WORKSPACE = header(
    "x-fabric-workspace",
    "The directory that programs see in `FABRIC_JOBS_WORKSPACE`, percent-encoded; over the Unix socket only.",
    maxLength=0,  # over TCP, as the document is for
)


KEY = header("idempotency-key", "The `key` of the invocation, where it has none.")
ATTACHED = "x-fabric-attached"
HEADERS = {ATTACHED: "`true` when the activation was there before; otherwise absent."}


async def invoke_skill(call: Call) -> Response:
    """Start an activation of a skill; with `sync` the answer is its record, once it has ended.

    An activation that has to wait for its turn has `waitsBehind`. With `local`, a skill that was saved without its files and whose
    `image` has a tag, a digest or a registry still runs in containers.
    """
    return await _invoke(call, "skill")


async def invoke_agent(call: Call) -> Response:
    """Start an activation of an agent, or of a snapshot by its id; with `sync` the answer is its record, once it has ended.

    `executor` and `cold` apply to all its skills: if one has to run in containers, all do.
    """
    return await _invoke(call, "agent")


async def begin(call: Call, kind: str) -> Invoked:
    """Start the activation that a call asks for, or attach to it; return which."""
    parts = call.parts
    check_body(call.object)
    await registered(call)
    wanted = replace(_invocation(call, kind), callback_url=await _callback_url(call))
    snapshot = frozen(parts.store.read, call.project, wanted.name) if kind == "agent" else None
    if snapshot is None:
        check_file(parts, kind, call.project, wanted.name)
    else:
        wanted = replace(wanted, name=snapshot.agent_name, pins=snapshot.pins)
    if wanted.executor == "kubernetes":
        await asyncio.to_thread(_check_cluster, parts)
    begun = await asyncio.wrap_future(parts.engine.invoke(wanted))
    if wanted.callback_url:
        parts.live.callbacks.set()
    return begun


def _check_cluster(parts: Parts) -> None:
    """Raise PlaceUnavailable for a cluster that could never be used since this owner started; later, activations wait for it."""
    try:
        parts.executors["kubernetes"].inside("")
    except (InvalidInput, PlaceUnavailable) as error:  # such as a namespace that does not exist, or a right
        raise PlaceUnavailable(error.message, hint=error.hint) from error


async def _schedule(call: Call, kind: str) -> Response:
    check_body(call.object)
    await registered(call)
    wanted = _invocation(call, kind)
    if await _callback_url(call):
        raise InvalidInput("a schedule has no callback.", hint="Leave 'callbackUrl' out.")
    check_file(call.parts, kind, call.project, wanted.name)
    return await save_invocation(call, wanted, call.of(SCHEDULE_CRON), call.of(SCHEDULE_NAME))


async def _invoke(call: Call, kind: str) -> Response:
    if call.of(SCHEDULE_CRON) or call.of(SCHEDULE_NAME):
        return await _schedule(call, kind)
    begun = await begin(call, kind)
    response = await _answer(call, begun)
    if begun.attached:
        response.headers[ATTACHED] = "true"
    return response


async def _answer(call: Call, begun: Invoked) -> Response:
    parts = call.parts
    if call.of(SYNC):
        waiting = asyncio.create_task(wait_for_end(parts, begun.activation_id))
        done, _ = await asyncio.wait([waiting], timeout=HEARTBEAT_SECONDS)
        if done:
            return Json(waiting.result())
        return StreamingResponse(_record(waiting), media_type="application/json")
    answer: dict[str, Any] = {"success": True, "activationId": begun.activation_id}
    if begun.attached:
        answer["attached"] = True
    waits = activations.some_wait(parts.store.read)
    started = activations.find(parts.store.read, begun.activation_id) if waits else None
    return Json(answer if started is None else {**answer, **waiting_of(parts, started)})


async def _callback_url(call: Call) -> str:
    """Return where to post the record at the end; raise InvalidInput for an address that may not be called."""
    properties = call.object.get("properties") or {}  # one of its names (docs/reference/compatibility.md#callbacks)
    found = {
        str(url) for url in (call.of(CALLBACK), call.object.get(CALLBACK.name), properties.get(CALLBACK.name)) if url
    }
    if not found:
        return ""
    if len(found) > 1:
        raise InvalidInput("'callbackUrl' is given with different values.", hint="Give it once.")
    from fabric_jobs.engine.callbacks import checked  # late: most invocations have none

    (url,) = found
    await checked(url, callbacks.rules(call.parts))
    return url


async def _record(waiting: asyncio.Task[dict[str, Any]]) -> AsyncIterator[bytes]:
    """Yield white space while the activation runs, then its record; together they are valid JSON."""
    try:
        while True:
            yield b" "
            done, _ = await asyncio.wait([waiting], timeout=HEARTBEAT_SECONDS)
            if done:
                break
    finally:
        waiting.cancel()  # the caller went away; the activation keeps running
    yield dumps(waiting.result())


def _invocation(call: Call, kind: str) -> Invocation:
    body = call.object
    if "payload" not in body:
        raise InvalidInput("the parameters have no 'payload'.", hint='Give an object such as {"payload": {…}}.')
    payload = compact(body["payload"])
    limit = call.parts.settings.record_bytes
    if len(payload) > limit:
        raise RecordTooLarge(
            f"the payload of {len(payload):,} bytes is over the limit of {limit:,} bytes for one record.",
            hint="Pass the path of a file instead, and let the skill read it.",
        )
    properties = {} if body.get("properties") is None else body["properties"]
    if not isinstance(properties, dict):
        raise InvalidInput("'properties' is not an object.")
    return Invocation(
        project_id=call.project,
        kind=kind,
        name=call.path_params["name"],
        entry=call.path_params["entry"],
        payload=payload,
        activation_id=_activation_id(body),
        key=_key(call),
        if_exists=_if_exists(body),
        properties=properties,
        username=call.caller.username,
        session_id=_text(body, "sessionId"),
        correlation_id=_text(body, "correlationId"),
        headers=dict(call.headers),
        workspace=owners_own(call, WORKSPACE),
        shell=handed_over(call, body),
        executor=executor_of(call),
        cold=call.of(COLD),
        invoker=call.caller.attempt or (call.headers.get(INVOKER, "") if call.caller.is_owner else ""),
        is_placed=bool(call.of(EXECUTOR)),
    )


def executor_of(call: Call) -> str:
    """Return the executor that a call names, or that of the owner; raise InvalidInput if there is none of that name."""
    name = call.of(EXECUTOR) or call.parts.settings.executor
    if name not in call.parts.executors:
        raise InvalidInput(f"there is no executor '{name}'.", hint=nearest(name, call.parts.executors))
    return name


def _text(body: dict[str, Any], key: str) -> str:
    value = body.get(key)
    if value is not None and not isinstance(value, str):
        raise InvalidInput(f"'{key}' is not a text.")
    return value or ""


def _activation_id(body: dict[str, Any]) -> str:
    given = _text(body, "activationId")
    return check_activation_id(given) if given else ""


def _key(call: Call) -> str:
    """Return the key of the body, else that of the header; empty for none."""
    given = [_text(call.object, "key")] if call.object.get("key") is not None else []
    if KEY.name in call.headers:
        given.append(_utf8(call.headers[KEY.name]))
    if not given:
        return ""
    if given[0] != given[-1]:
        raise InvalidInput("'key' and the header 'Idempotency-Key' are not the same.", hint="Leave one of them out.")
    if not 0 < len(given[0].encode()) <= KEY_BYTES:
        raise InvalidInput(f"'key' must be 1 to {KEY_BYTES:,} bytes long.", hint="Leave it out, or shorten it.")
    return given[0]


def _utf8(header: str) -> str:
    try:
        return header.encode("latin-1").decode()
    except UnicodeDecodeError as error:
        raise InvalidInput("the header 'Idempotency-Key' is not UTF-8.") from error


def _if_exists(body: dict[str, Any]) -> str:
    given = _text(body, "ifExists") or RETRY
    if given not in IF_EXISTS:
        raise InvalidInput(f"'ifExists' must be {', '.join(IF_EXISTS)}, not '{given}'.", hint=nearest(given, IF_EXISTS))
    return given


ASKED = (SYNC, EXECUTOR, COLD, CALLBACK, SCHEDULE_CRON, SCHEDULE_NAME, WORKSPACE, KEY)
# The paths match greedily (docs/reference/compatibility.md#slashes-in-names).
OPERATIONS = tuple(
    Operation(
        "POST",
        P + path,
        handler,
        parameters=ASKED,
        body="Invocation",
        answer=("Activation", "Started", "Scheduling"),
        headers=HEADERS,
        errors=("409",),
        role="run",
    )
    for path, handler in (
        ("/skillinvoke/{name:path}/inputs/{entry}", invoke_skill),
        ("/agentinvoke/{name:path}/services/{entry}", invoke_agent),
    )
)

"""Tasks: list, show, logs (reference/fabric.md section 5)."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fabric_jobs.errors import InvalidInput, NotFound
from fabric_jobs.executors.base import STREAMS
from fabric_jobs.gateway.json_response import Json
from fabric_jobs.gateway.parts import find_task, milliseconds, parts_of, project_of, task_json, whole_of
from fabric_jobs.records import Attempt
from fabric_jobs.store import activations, tasks
from fabric_jobs.store.activations import Filter

LOG_BYTES = 1 << 20  # at most this much of a log in one answer


async def list_tasks(request: Request) -> Response:
    """List the newest tasks first; unknown query keys are ignored (reference/fabric.md 6.3 i)."""
    project_id = project_of(request)
    query = request.query_params
    sql = parts_of(request).store.read
    wanted = Filter(
        project_id=project_id,
        state=query["state"].upper() if query.get("state") else None,
        skill=query.get("skillName") or None,
        activation_id=query.get("activationId") or None,
        limit=whole_of(request, "limit", 20, low=1, high=10_000),
        skip=whole_of(request, "skip", 0),
    )
    found = tasks.listed(sql, wanted)
    owners = {task.activation_id: activations.find(sql, task.activation_id) for task in found if task.activation_id}
    return Json({"success": True, "tasks": [task_json(task, owners.get(task.activation_id or "")) for task in found]})


async def show_task(request: Request) -> Response:
    """Show a task with its attempts."""
    task = find_task(request, project_of(request))
    sql = parts_of(request).store.read
    owner = activations.find(sql, task.activation_id) if task.activation_id else None
    shown = {**task_json(task, owner), "attempts": [_attempt(attempt) for attempt in tasks.attempts(sql, task.task_id)]}
    return Json({"success": True, "task": shown})


async def task_logs(request: Request) -> Response:
    """Answer with the log of an attempt: as {success, logs}, or raw from a byte `offset` on when a `stream` is named."""
    parts = parts_of(request)
    task = find_task(request, project_of(request))
    number = whole_of(request, "attempt", task.attempt)
    attempt = tasks.attempt(parts.store.read, task.task_id, number)
    if attempt is None and number:
        raise NotFound(f"task '{task.name}' has no attempt {number}.", hint=f"It has had {task.attempt}.")
    handle = attempt.handle if attempt is not None else None
    stream = request.query_params.get("stream", "")
    if stream and stream not in STREAMS:
        raise InvalidInput(f"'stream' is stdout or stderr, not '{stream}'.")
    offset = whole_of(request, "offset", 0)
    if not stream:
        text = parts.executor.merged(handle, LOG_BYTES).decode(errors="replace") if handle else ""
        return Json({"success": True, "logs": text})
    data = parts.executor.logs(handle, stream, offset, LOG_BYTES) if handle else b""
    headers = {
        "x-fabric-state": task.state.value,
        "x-fabric-attempt": str(number),
        "x-fabric-attempts": str(task.attempt),
    }
    return Response(data, media_type="text/plain; charset=utf-8", headers=headers)


def _attempt(attempt: Attempt) -> dict[str, Any]:
    return {
        "attempt": attempt.attempt,
        "executor": attempt.executor,
        "start": milliseconds(attempt.started_at),
        "end": milliseconds(attempt.ended_at),
        "exitCode": attempt.exit_code,
        "reason": attempt.reason,
    }


P = "/fabric/v4/projects/{project}"
ROUTES = [
    Route(P + "/tasks", list_tasks, methods=["GET"]),
    # A task's name has no slash; the name of a skill, which people try here, may have one.
    Route(P + "/tasks/{task:path}/logs", task_logs, methods=["GET"]),
    Route(P + "/tasks/{task:path}", show_task, methods=["GET"]),
]

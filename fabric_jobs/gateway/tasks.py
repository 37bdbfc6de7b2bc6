"""Tasks: list, show and cancel (docs/reference/http.md)."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fabric_jobs.errors import InvalidInput
from fabric_jobs.gateway import logs, notes
from fabric_jobs.gateway.json_response import Json
from fabric_jobs.gateway.listing import oldest_first, wanted_of
from fabric_jobs.gateway.not_yet import refuse_query
from fabric_jobs.gateway.parts import find_task, milliseconds, parts_of, project_of, task_json, whole_of
from fabric_jobs.records import Attempt
from fabric_jobs.store import activations, tasks
from fabric_jobs.store.activations import Filter


async def list_tasks(request: Request) -> Response:
    """List the newest tasks first; unknown query keys are ignored."""
    project_id = project_of(request)
    refuse_query(request, "scheduled")
    said = wanted_of(request, ("state", "agentName", "skillName", "actionName", "activationId"))
    sql = parts_of(request).store.read
    wanted = Filter(
        project_id=project_id,
        state=said["state"].upper() if said["state"] else None,
        agent=said["agentName"],
        skill=said["skillName"],
        action=said["actionName"],
        activation_id=said["activationId"],
        oldest_first=oldest_first(request, "start", "startTime"),
        limit=whole_of(request, "limit", 20, low=1, high=10_000),
        skip=whole_of(request, "skip", 0),
    )
    found = tasks.listed(sql, wanted)
    owners = {task.activation_id: activations.find(sql, task.activation_id) for task in found if task.activation_id}
    listed = [task_json(task, owners.get(task.activation_id or "")) for task in found]
    for shown, task in zip(listed, found, strict=True):
        if task.state in notes.RUNNING:  # there are few of these
            shown["note"] = notes.of_task(parts_of(request), task)["note"]
    return Json({"success": True, "tasks": listed})


async def show_task(request: Request) -> Response:
    """Show a task with its attempts."""
    refuse_query(request, "k8s")
    task = find_task(request, project_of(request))
    sql = parts_of(request).store.read
    owner = activations.find(sql, task.activation_id) if task.activation_id else None
    tries = [_attempt(attempt) for attempt in tasks.attempts(sql, task.task_id)]
    shown = {**task_json(task, owner), **notes.of_task(parts_of(request), task), "attempts": tries}
    return Json({"success": True, "task": shown})


async def cancel_task(request: Request) -> Response:
    """Ask for the end of one task."""
    return await _cancel(request)


async def delete_task(request: Request) -> Response:
    """Ask for the end of one task; what is known of it stays, with its logs."""
    return await _cancel(request)


async def _cancel(request: Request) -> Response:
    task = find_task(request, project_of(request))
    store = parts_of(request).store
    if task.kind == "daemon":
        raise InvalidInput(
            f"task {task.name} is a daemon, which serves every activation.",
            hint="It ends with its owner, when nobody has called it for a while, or when its program changes. "
            "Cancel the activation that calls it.",
        )
    asked = await asyncio.wrap_future(store.write(lambda tx: tasks.ask_cancel(tx, task, "cancelled by its user")))
    now = tasks.find(store.read, task.task_id) or task
    message = "is being cancelled" if not now.ended else f"has ended: {now.state.value}"
    return Json({"success": True, "cancelled": asked, "message": f"task {task.name} {message}."})


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
    Route(P + "/tasks/{task:path}/cancel", cancel_task, methods=["POST"]),
    Route(P + "/tasks/{task:path}", delete_task, methods=["DELETE"]),
    *logs.ROUTES,  # before the next, which matches greedily
    Route(P + "/tasks/{task:path}", show_task, methods=["GET"]),
]

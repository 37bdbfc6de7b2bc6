"""What can be done to one task: cancel it. The rest of its activation goes on."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fabric_jobs.errors import InvalidInput
from fabric_jobs.gateway.json_response import Json
from fabric_jobs.gateway.parts import find_task, parts_of, project_of
from fabric_jobs.store import tasks


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


P = "/fabric/v4/projects/{project}"
ROUTES = [
    Route(P + "/tasks/{task:path}/cancel", cancel_task, methods=["POST"]),
    Route(P + "/tasks/{task:path}", delete_task, methods=["DELETE"]),
]

"""What else Fabric's deprecated commands ask about actions without a skill: their log, and where images are pushed."""

from __future__ import annotations

import asyncio

from starlette.responses import Response

from fabric_jobs.gateway import logs
from fabric_jobs.gateway.documents import find
from fabric_jobs.gateway.health import current_registry
from fabric_jobs.gateway.json_response import Json
from fabric_jobs.gateway.kinds import ACTION
from fabric_jobs.gateway.operation import Call, Operation
from fabric_jobs.gateway.parameters import P
from fabric_jobs.store import tasks
from fabric_jobs.store.activations import RunFilter


async def show_action_config(call: Call) -> Response:
    """Tell which registry Fabric's command pushes images to: the current one of `workspaces registry`."""
    return Json({"success": True, "dockerPrivateRegistryUrl": await asyncio.to_thread(current_registry)})


async def show_action_logs(call: Call) -> Response:
    """Show the log of the newest task of an action, whatever its skill; it is empty before the first."""
    action = find(call, ACTION)
    found = tasks.listed(call.parts.store.read, RunFilter(project_id=call.project, action=action.name, limit=1))
    if not found:
        return Json({"success": True, "logs": "", "truncated": False})
    return await logs.newest_log(call.parts, found[0])


OPERATIONS = (
    Operation("GET", P + "/actions/_config", show_action_config, answer="ActionConfig"),
    Operation("GET", P + "/actions/{name:path}/logs", show_action_logs, answer="Log"),
)

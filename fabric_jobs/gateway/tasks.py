"""Tasks: list, show and cancel (docs/reference/http.md)."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.responses import Response

from fabric_jobs.errors import InvalidInput
from fabric_jobs.gateway import logs, notes
from fabric_jobs.gateway.answers import milliseconds, task_json
from fabric_jobs.gateway.describing import kubernetes_of_task
from fabric_jobs.gateway.json_response import Json
from fabric_jobs.gateway.listing import OLDEST_FIRST, wanted_of, where
from fabric_jobs.gateway.lookup import find_task
from fabric_jobs.gateway.operation import Call, Operation
from fabric_jobs.gateway.parameters import ACTIVATION_ID, LIMIT, SKILL_NAME, SKIP, P, flag, text
from fabric_jobs.records import Attempt
from fabric_jobs.store import activations, tasks
from fabric_jobs.store.activations import RunFilter

STATE = text("state", "Only in this state, in any case.")
AGENT_NAME = text("agentName", "Only of activations of this agent.")
K8S = flag("k8s", "Instead: what would [run on Kubernetes](../howto/describe.md).")
ACTION_NAME = text("actionName", "Only of this action.")
WANTED = (ACTIVATION_ID, SKILL_NAME, ACTION_NAME, AGENT_NAME, STATE)
WHERE = where("The first five as a [JSON object](#filter-and-sort).", '{"state":"COMPLETE"}')


async def list_tasks(call: Call) -> Response:
    """List tasks, the newest first.

    Those that run have a `note`.
    """
    said = wanted_of(call, WHERE, WANTED)
    parts, sql = call.parts, call.parts.store.read
    wanted = RunFilter(
        project_id=call.project,
        state=said["state"].upper() if said["state"] else None,
        agent=said["agentName"],
        skill=said["skillName"],
        action=said["actionName"],
        activation_id=said["activationId"],
        oldest_first=call.of(OLDEST_FIRST),
        limit=call.of(LIMIT),
        skip=call.of(SKIP),
    )
    found = tasks.listed(sql, wanted)
    owners = {task.activation_id: activations.find(sql, task.activation_id) for task in found if task.activation_id}
    listed = [task_json(task, owners.get(task.activation_id or "")) for task in found]
    for shown, task in zip(listed, found, strict=True):
        if task.state in notes.RUNNING:  # few tasks are in these states
            shown["note"] = notes.of_task(parts, task)["note"]
    return Json({"success": True, "tasks": listed})


async def show_task(call: Call) -> Response:
    """Show a task with its attempts.

    It also has `note` and `remarks`, as in `progress`.
    """
    task = find_task(call)
    sql = call.parts.store.read
    if call.of(K8S):
        return Json({"success": True, "task": kubernetes_of_task(sql, task)})
    owner = activations.find(sql, task.activation_id) if task.activation_id else None
    tries = [_attempt(attempt) for attempt in tasks.attempts(sql, task.task_id)]
    shown = {**task_json(task, owner), **notes.of_task(call.parts, task), "attempts": tries}
    return Json({"success": True, "task": shown})


async def cancel_task(call: Call) -> Response:
    """Ask one task to end; the rest of its activation continues.

    `cancelled` is false if it had ended, or was already asked.
    """
    return await _cancel(call)


async def delete_task(call: Call) -> Response:
    """The same as cancel: the task and its logs are kept."""
    return await _cancel(call)


async def _cancel(call: Call) -> Response:
    task, store = find_task(call), call.parts.store
    if task.kind == "daemon":
        raise InvalidInput(
            f"task {task.name} is a daemon, which serves all activations.",
            hint="It ends with its owner, after some time without a call, or when its program changes. "
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


OPERATIONS = (
    Operation(
        "GET",
        P + "/tasks",
        list_tasks,
        parameters=(*WANTED, WHERE, OLDEST_FIRST, LIMIT, SKIP),
        answer="Tasks",
        not_yet=("scheduled",),
    ),
    Operation("POST", P + "/tasks/{task:path}/cancel", cancel_task, answer="Cancelled", role="run"),
    Operation("DELETE", P + "/tasks/{task:path}", delete_task, answer="Cancelled", role="run"),
    *logs.OPERATIONS,  # before the next, which matches greedily
    Operation("GET", P + "/tasks/{task:path}", show_task, parameters=(K8S,), answer=("OneTask", "TaskOnKubernetes")),
)

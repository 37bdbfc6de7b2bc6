"""Tasks: list, show and cancel (docs/reference/http.md)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from fabric_jobs.errors import InvalidInput
from fabric_jobs.gateway import logs, notes
from fabric_jobs.gateway.answers import milliseconds, task_json
from fabric_jobs.gateway.describing import kubernetes_of_task
from fabric_jobs.gateway.json_response import Json
from fabric_jobs.gateway.listing import BY_NUMBER, OLDEST_FIRST, wanted_of, where
from fabric_jobs.gateway.lookup import find_task, wanted_activation
from fabric_jobs.gateway.operation import Call, Operation
from fabric_jobs.gateway.parameters import ACTIVATION_ID, LIMIT, SKILL_NAME, SKIP, P, flag, text
from fabric_jobs.gateway.schedules import delete, pause, resume
from fabric_jobs.gateway.scheduling import of_task, scheduled_tasks
from fabric_jobs.gateway.scheduling import task_json as scheduled_json
from fabric_jobs.records import Attempt
from fabric_jobs.store import activations, tasks
from fabric_jobs.store.activations import RunFilter

if TYPE_CHECKING:
    from fabric_jobs.schedules.schedule import Schedule

STATE = text("state", "Only in this state, in any case.")
AGENT_NAME = text("agentName", "Only of activations of this agent.")
SCHEDULED = flag("scheduled", "List schedules instead, each as a task.")
K8S = flag("k8s", "Instead: what would [run on Kubernetes](../howto/describe.md).")
ACTION_NAME = text("actionName", "Only of this action.")
WANTED = (ACTIVATION_ID, SKILL_NAME, ACTION_NAME, AGENT_NAME, STATE)
WHERE = where("The first five as a [JSON object](#filter-and-sort).", '{"state":"COMPLETE"}')


async def list_tasks(call: Call) -> Response:
    """List tasks, the newest first; with `scheduled`, [schedules](../howto/schedules.md) instead, by name.

    Those that run have a `note`.
    """
    said = wanted_of(call, WHERE, WANTED)
    if call.of(SCHEDULED):
        found = scheduled_tasks(call, said)
        return Json({"success": True, "tasks": found[call.of(SKIP) :][: call.of(LIMIT)]})
    parts, sql = call.parts, call.parts.store.read
    wanted = RunFilter(
        project_id=call.project,
        state=said["state"].upper() if said["state"] else None,
        agent=said["agentName"],
        skill=said["skillName"],
        action=said["actionName"],
        activation_id=wanted_activation(call, said["activationId"]),
        oldest_first=call.of(OLDEST_FIRST),
        limit=call.of(LIMIT),
        skip=call.of(SKIP),
        after_task=call.of(BY_NUMBER),
    )
    rows = tasks.listed(sql, wanted)
    owners = {task.activation_id: activations.find(sql, task.activation_id) for task in rows if task.activation_id}
    listed = [task_json(task, owners.get(task.activation_id or "")) for task in rows]
    for shown, task in zip(listed, rows, strict=True):
        if task.state in notes.RUNNING:  # few tasks are in these states
            shown["note"] = notes.of_task(parts, task)["note"]
    following = str(rows[-1].task_id) if len(rows) == wanted.limit else None
    return Json({"success": True, "tasks": listed, "next": following})


async def show_task(call: Call) -> Response:
    """Show a task with its attempts.

    It also has `note` and `remarks`, as in `progress`. The name of a schedule shows the schedule.
    """
    if (one := of_task(call)) is not None:
        return Json({"success": True, "task": scheduled_json(call.parts.store.read, one)})
    task = find_task(call)
    sql = call.parts.store.read
    if call.of(K8S):
        return Json({"success": True, "task": kubernetes_of_task(call.parts, task)})
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
    """The same as cancel: the task and its logs are kept. The name of a schedule deletes the schedule."""
    if (one := of_task(call)) is not None:
        return await delete(call, one)
    return await _cancel(call)


async def pause_task(call: Call) -> Response:
    """Pause a schedule, which Fabric calls a scheduled task."""
    return await pause(call, _scheduled(call))


async def resume_task(call: Call) -> Response:
    """Resume a schedule, which Fabric calls a scheduled task; the times that passed meanwhile do not run."""
    return await resume(call, _scheduled(call))


def _scheduled(call: Call) -> Schedule:
    one = of_task(call)
    if one is not None:
        return one
    task = find_task(call)
    raise InvalidInput(
        f"task {task.name} is no schedule, and only schedules can be paused.", hint="Cancel it, and invoke it again."
    )


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
        parameters=(*WANTED, SCHEDULED, WHERE, OLDEST_FIRST, LIMIT, BY_NUMBER, SKIP),
        answer=("Tasks", "ScheduledTasks"),
    ),
    Operation("POST", P + "/tasks/{task:path}/cancel", cancel_task, answer="Cancelled", role="run"),
    Operation("DELETE", P + "/tasks/{task:path}", delete_task, answer=("Cancelled", "Done"), role="run"),
    Operation("POST", P + "/tasks/{task:path}/pause", pause_task, answer="Done", role="run"),
    Operation("POST", P + "/tasks/{task:path}/resume", resume_task, answer="Done", role="run"),
    *logs.OPERATIONS,  # before the next, which matches greedily
    Operation(
        "GET",
        P + "/tasks/{task:path}",
        show_task,
        parameters=(K8S,),
        answer=("OneTask", "OneScheduledTask", "TaskOnKubernetes"),
    ),
)

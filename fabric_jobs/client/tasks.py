"""Finds the task that a user means."""

from __future__ import annotations

from typing import Any

from fabric_jobs.client.gateway import Gateway, segment
from fabric_jobs.errors import InvalidInput, NotFound
from fabric_jobs.states import TaskState

SHOWN = 10  # at most this many of several matching tasks


def find_task(gateway: Gateway, name: str, activation: str | None, *, newest: bool = False) -> dict[str, Any]:
    """Return a task by its name, by the name of a skill that has one task, or by the beginning of its name.

    Raises NotFound or InvalidInput.

    `newest`: of several tasks, choose the newest running one, else the newest.
    """
    try:
        found, error = _task(gateway, name), None
        if found["name"] == name:
            return found
    except (NotFound, InvalidInput) as failure:  # InvalidInput: several begin so
        found, error = {}, failure
    tasks = gateway.get("/tasks", skillName=name, activationId=activation, limit=SHOWN)["tasks"]
    if not tasks and found:
        return found
    if not tasks and isinstance(error, InvalidInput):
        raise error
    if not tasks:
        hint = "List the tasks with `fabric-jobs tasks list`."
        raise NotFound(f"there is no task '{name}', and no skill of that name has run here.", hint=hint)
    if len(tasks) > 1 and newest:
        running = gateway.get("/tasks", skillName=name, activationId=activation, state=TaskState.ACTIVE, limit=1)
        return (running["tasks"] or tasks)[0]  # type: ignore[no-any-return]
    if len(tasks) > 1:
        names = "\n".join(f"  {task['name']}  {task['state']}  activation {task['activationId']}" for task in tasks)
        raise InvalidInput(f"skill '{name}' has several tasks; name one of them, or its --activation:\n{names}")
    return _task(gateway, tasks[0]["name"])


def on_kubernetes(gateway: Gateway, task: dict[str, Any]) -> dict[str, Any]:
    """Return what would run on Kubernetes in place of a task; raise InvalidInput when that is nothing."""
    found: dict[str, Any] = gateway.get(f"/tasks/{segment(task['name'])}", k8s="true")["task"]
    return found


def newest_task(gateway: Gateway, skill: str, action: str | None) -> str | None:
    """Return the name of the newest task of a skill; None when it has none."""
    found = gateway.get("/tasks", skillName=skill, actionName=action, limit=1)["tasks"]
    return found[0]["name"] if found else None


def _task(gateway: Gateway, name: str) -> dict[str, Any]:
    found: dict[str, Any] = gateway.get(f"/tasks/{segment(name)}")["task"]
    return found

"""Finds the activation or the task of a call."""

from __future__ import annotations

from fabric_jobs.errors import NotFound
from fabric_jobs.gateway.operation import Call
from fabric_jobs.records import Activation, Task
from fabric_jobs.store import activations, tasks


def find_activation(call: Call, activation_id: str | None = None) -> Activation:
    """Return the activation with this id, by default the one in the path; raise NotFound."""
    if activation_id is None:
        activation_id = str(call.path_params["activation"])
    found = activations.find(call.parts.store.read, activation_id)
    if found is None or found.project_id != call.project:
        raise NotFound(
            f"there is no activation '{activation_id}'.", hint="List them with `fabric-jobs activations list`."
        )
    return found


def find_task(call: Call) -> Task:
    """Return the task of a path; raise NotFound."""
    name = call.path_params["task"]
    found = tasks.by_name(call.parts.store.read, call.project, name)
    if found is None:
        raise NotFound(f"there is no task '{name}'.", hint="List them with `fabric-jobs tasks list`.")
    return found

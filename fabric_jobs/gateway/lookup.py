"""Finds the activation, task or dead letter that a caller names: exactly, or by a beginning that only one has."""

from __future__ import annotations

from collections.abc import Sequence

from fabric_jobs.errors import InvalidInput, NotFound
from fabric_jobs.gateway.operation import Call
from fabric_jobs.records import Activation, DeadLetter, Task
from fabric_jobs.store import activations, dead_letters, tasks

SHORTEST = 4  # characters of a beginning
SHOWN = 10  # of those that have it


def find_activation(call: Call, name: str | None = None) -> Activation:
    """Return the activation of an id, by default that in the path; raise NotFound, or InvalidInput if several begin so."""
    if name is None:
        name = str(call.path_params["activation"])
    found = activations.find(call.parts.store.read, _activation_id(call, name))
    if found is None or found.project_id != call.project:
        raise NotFound(f"there is no activation '{name}'.", hint="List them with `fabric-jobs activations list`.")
    return found


def wanted_activation(call: Call, name: str | None) -> str | None:
    """Return the id of the activation that a filter names; a name that none has stays as it is, and finds nothing."""
    return _activation_id(call, name) if name else None


def find_task(call: Call) -> Task:
    """Return the task of a path; raise NotFound, or InvalidInput if several begin so."""
    name, sql = str(call.path_params["task"]), call.parts.store.read
    found = tasks.by_name(sql, call.project, name)
    if found is None and len(name) >= SHORTEST:
        several = tasks.beginning(sql, call.project, name, limit=SHOWN + 1)
        _check_one(name, "tasks", [f"{task.name}  {task.state}  activation {task.activation_id}" for task in several])
        found = several[0] if several else None
    if found is None:
        raise NotFound(f"there is no task '{name}'.", hint="List them with `fabric-jobs tasks list`.")
    return found


def find_letter(call: Call, name: str) -> DeadLetter:
    """Return the dead letter of a number; raise NotFound, or InvalidInput if several begin so."""
    number, sql = letter_number(name), call.parts.store.read
    found = dead_letters.find(sql, call.project, number)
    if found is None and len(name) >= SHORTEST:
        several = dead_letters.beginning(sql, call.project, number, limit=SHOWN + 1)
        _check_one(name, "dead letters", [f"{letter.dead_letter_id}  {letter.skill_name}" for letter in several])
        found = several[0] if several else None
    if found is None:
        raise NotFound(f"there is no dead letter {name}.", hint="List them with `fabric-jobs deadletters list`.")
    return found


def letter_number(text: str) -> int:
    """Return the number of a dead letter; raise NotFound for anything else."""
    if not text.isascii() or not text.isdecimal() or len(text) > 18:
        raise NotFound(f"there is no dead letter '{text}'.", hint="A dead letter is named by its number.")
    return int(text)


def _activation_id(call: Call, name: str) -> str:
    sql = call.parts.store.read
    exact = activations.find(sql, name)
    if (exact is not None and exact.project_id == call.project) or len(name) < SHORTEST:
        return name
    several = activations.beginning(sql, call.project, name, limit=SHOWN + 1)
    _check_one(name, "activations", [f"{item.activation_id}  {item.state}  {item.name}" for item in several])
    return several[0].activation_id if several else name


def _check_one(name: str, what: str, found: Sequence[str]) -> None:
    """Raise InvalidInput, with those that there are, if several begin with a name."""
    if len(found) > 1:
        more = "\n  …" if len(found) > SHOWN else ""
        raise InvalidInput(
            f"several {what} begin with '{name}':" + "".join(f"\n  {line}" for line in found[:SHOWN]) + more,
            hint="Type more of it.",
        )

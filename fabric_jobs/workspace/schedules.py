"""Saves the schedules of a workspace at a gateway, with the definitions that they invoke."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fabric_jobs.client import schedules
from fabric_jobs.client.gateway import Gateway
from fabric_jobs.documents import schedule_from_json, schedules_of
from fabric_jobs.errors import InvalidDefinition, InvalidInput, NotFound, Problem, shown
from fabric_jobs.schedules.schedule import ScheduleDefinition
from fabric_jobs.workspace.target import Choice
from fabric_jobs.workspace.tree import read_file

FILE = "schedules.yaml"


def read(path: Path) -> tuple[tuple[ScheduleDefinition, ...], tuple[Problem, ...]]:
    """Return the schedules of a file, and warnings; raise InvalidDefinition with all its problems, or NotFound."""
    if not path.exists():
        raise NotFound(
            f"there is no {shown(path)}.", hint="Write it, name another file, or use `fabric-jobs schedules create`."
        )
    return schedules_of(read_file(path))


def definition(name: str, params: Mapping[str, Any], given: Mapping[str, Any]) -> ScheduleDefinition:
    """Return the schedule that parameters of an invocation and other keys make; raise InvalidInput."""
    unknown = params.keys() - {"payload", "properties"}
    if unknown:
        raise InvalidInput(
            f"'{min(unknown)}' has no effect in a schedule.", hint="Give 'payload' and 'properties' only."
        )
    try:
        return schedule_from_json({"name": name, **params, **given})
    except InvalidDefinition as error:  # there is no file, so no position
        raise InvalidInput("\n".join(f"{problem.message.rstrip('.')}." for problem in error.problems)) from None


def apply(choice: Choice, wanted: Iterable[ScheduleDefinition], *, prune: bool) -> Mapping[str, Any]:
    """Save schedules, all or none, and first what they invoke; return the gateway's answer."""
    documents = [document(choice, definition) for definition in wanted]
    return schedules.apply(choice.gateway, documents, prune=prune)


def save(choice: Choice, wanted: ScheduleDefinition) -> Mapping[str, Any]:
    """Save one schedule, and first what it invokes; return the gateway's answer."""
    return schedules.save(choice.gateway, document(choice, wanted))


def document(choice: Choice, wanted: ScheduleDefinition) -> dict[str, Any]:
    """Save what a schedule invokes, and return the schedule as it is posted."""
    target = choice.target(wanted.kind, wanted.target, wanted.entry or None)
    found = {key: value for key, value in vars(wanted).items() if value not in ("", {})}
    return {**found, "service" if wanted.kind == "agent" else "input": target.entry}


def discard(gateway: Gateway, wanted: Iterable[ScheduleDefinition]) -> list[str]:
    """Return the names of the schedules at a gateway that a `prune` would delete."""
    names = {definition.name for definition in wanted}
    return [row["name"] for row in schedules.listed(gateway)["schedules"] if row["name"] not in names]

"""Saved skills and agents as answers show them: what was saved, and how it is deployed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fabric_jobs.documents.shown import with_parameters
from fabric_jobs.gateway.answers import milliseconds
from fabric_jobs.records import SavedDefinition
from fabric_jobs.store import tasks
from fabric_jobs.store.sql import Sql

DEPLOYED, READY = "DEPLOYED", "READY"  # words of Fabric's console; its command prints any
States = dict[tuple[str, str, str], str]  # the state of a daemon by project, skill and action


def shown_definition(sql: Sql, saved: SavedDefinition) -> dict[str, Any]:
    """Return a saved definition whole."""
    return {**with_parameters(saved.body), **_bookkeeping(saved, _states(sql) if saved.kind == "skill" else {})}


def summaries(sql: Sql, found: Sequence[SavedDefinition]) -> list[dict[str, Any]]:
    """Return a row of a list for each of these definitions."""
    states = _states(sql) if found and found[0].kind == "skill" else {}
    return [
        {
            "name": saved.name,
            "title": saved.body.get("title") or "",
            "description": saved.body.get("description") or "",
            **_bookkeeping(saved, states),
        }
        for saved in found
    ]


def _bookkeeping(saved: SavedDefinition, states: States) -> dict[str, Any]:
    """Return the keys that a gateway adds to a definition (docs/reference/compatibility.md#states-of-deployments)."""
    found: dict[str, Any] = {
        "updatedAt": milliseconds(saved.saved_at),
        "createdBy": saved.saved_by,
        "_version": saved.version,
    }
    if saved.kind == "skill":
        names = [action["name"] for action in saved.body.get("actions") or ()]
        found["actionStatuses"] = [
            {"name": name, "state": states.get((saved.project_id, saved.name, name), READY)} for name in names
        ]
    return {**found, "deployStatus": DEPLOYED}


def _states(sql: Sql) -> States:
    """Return the states of the daemons that have not ended."""
    return {(task.project_id, task.skill_name, task.action_name): task.state.value for task in tasks.daemons(sql)}

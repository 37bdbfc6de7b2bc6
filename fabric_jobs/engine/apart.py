"""Actions that were deployed without a skill: routings find them by the names that a skill's own actions do not have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from fabric_jobs.definitions import Action, Skill
from fabric_jobs.documents.saved import action_from_json
from fabric_jobs.store import documents
from fabric_jobs.store.documents import DocumentKey
from fabric_jobs.store.sql import Sql


def versions_of(sql: Sql, project_id: str, skill: Skill) -> dict[str, int]:
    """Return the newest version of each action that a skill finds elsewhere, by name."""
    found = {name: documents.find(sql, _key(project_id, name)) for name in skill.actions_elsewhere()}
    return {name: saved.version for name, saved in found.items() if saved is not None}


def with_actions(sql: Sql, project_id: str, skill: Skill, versions: Mapping[str, int]) -> Skill:
    """Return a skill together with versions of actions that it finds elsewhere."""
    saved = [documents.find(sql, _key(project_id, name), version) for name, version in versions.items()]
    found = tuple(action_from_json(document.body) for document in saved if document is not None)
    return replace(skill, actions=(*skill.actions, *found)) if found else skill


def action_of(sql: Sql, project_id: str, skill: Skill, name: str) -> Action | None:
    """Return an action of a skill, or the newest version of the one that it finds elsewhere; None if there is neither."""
    return with_actions(sql, project_id, skill, versions_of(sql, project_id, skill)).action(name)


def _key(project_id: str, name: str) -> DocumentKey:
    return DocumentKey(project_id, "action", name)

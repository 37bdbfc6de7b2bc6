"""Compiles the plan of each running activation once, from the versions that it pins."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from threading import Lock
from typing import Any

from fabric_jobs.definitions import Agent, Skill
from fabric_jobs.documents import agent_from_json, skill_from_json
from fabric_jobs.engine import apart
from fabric_jobs.errors import NotFound
from fabric_jobs.names import nearest
from fabric_jobs.records import Activation, SavedDefinition
from fabric_jobs.routing import Plan, compile_agent, compile_skill
from fabric_jobs.store import definitions
from fabric_jobs.store.sql import Sql

KEPT = 1024


class Plans:
    """A bounded cache of plans by activation, and of parsed definitions by version."""

    def __init__(self) -> None:
        self._plans: OrderedDict[str, Plan] = OrderedDict()
        self._parsed: OrderedDict[tuple[str, str, str, int], Any] = OrderedDict()
        self._lock = Lock()

    def of(self, sql: Sql, activation: Activation) -> Plan:
        """Return the plan of an activation."""
        with self._lock:
            plan = self._plans.get(activation.activation_id)
        if plan is None:
            plan = self.compile(sql, activation.project_id, activation.pins, activation.entry, activation.properties)
            if activation.start_node:
                plan = plan.beginning_at(activation.start_node)
            self.keep(activation.activation_id, plan)
        return plan

    def known(self, activation_id: str) -> Plan | None:
        """Return the plan of an activation if it is cached."""
        with self._lock:
            return self._plans.get(activation_id)

    def keep(self, activation_id: str, plan: Plan) -> None:
        """Cache a plan."""
        with self._lock:
            _put(self._plans, activation_id, plan)

    def pins(self, sql: Sql, project_id: str, kind: str, name: str) -> dict[str, Any]:
        """Return the newest versions of a skill, or of an agent and its skills; raise NotFound when one is missing."""
        if kind == "skill":
            skills = {name: self._newest(sql, project_id, "skill", name).version}
            return {"agent": None, "skills": skills, **self._actions(sql, project_id, skills)}
        saved = self._newest(sql, project_id, "agent", name)
        agent: Agent = self._definition(saved)
        names = {reference.skill_name for reference in agent.skills}
        skills = {skill: self._newest(sql, project_id, "skill", skill).version for skill in sorted(names)}
        pinned = {"name": name, "version": saved.version}
        return {"agent": pinned, "skills": skills, **self._actions(sql, project_id, skills)}

    def compile(
        self, sql: Sql, project_id: str, pins: Mapping[str, Any], entry: str, properties: Mapping[str, Any]
    ) -> Plan:
        """Compile the plan of one service or input from pinned versions."""
        skills = {name: self.skill(sql, project_id, name, version) for name, version in pins["skills"].items()}
        for name, actions in pins.get("actions", {}).items():
            skills[name] = apart.with_actions(sql, project_id, skills[name], actions)
        if pins["agent"] is None:
            (skill,) = skills.values()
            return compile_skill(skill, entry, properties)
        saved = definitions.find(sql, project_id, "agent", pins["agent"]["name"], pins["agent"]["version"])
        assert saved is not None, "a pinned version is never deleted"
        return compile_agent(self._definition(saved), skills, entry, properties)

    def skill(self, sql: Sql, project_id: str, name: str, version: int) -> Skill:
        """Return one version of a skill."""
        saved = definitions.find(sql, project_id, "skill", name, version)
        assert saved is not None, "a pinned version is never deleted"
        skill: Skill = self._definition(saved)
        return skill

    def _actions(self, sql: Sql, project_id: str, skills: Mapping[str, int]) -> dict[str, dict[str, dict[str, int]]]:
        """Return the pins of actions that skills find elsewhere: {"actions": {skill: {action: version}}}, or nothing."""
        parsed = {name: self.skill(sql, project_id, name, version) for name, version in skills.items()}
        found = {name: apart.versions_of(sql, project_id, skill) for name, skill in parsed.items()}
        actions = {name: versions for name, versions in found.items() if versions}
        return {"actions": actions} if actions else {}

    def _newest(self, sql: Sql, project_id: str, kind: str, name: str) -> SavedDefinition:
        saved = definitions.find(sql, project_id, kind, name)
        if saved is None:
            known = [item.name for item in definitions.newest(sql, project_id, kind)]
            raise NotFound(f"there is no {kind} '{name}' in project '{project_id}'.", hint=nearest(name, known))
        return saved

    def _definition(self, saved: SavedDefinition) -> Any:
        key = (saved.project_id, saved.kind, saved.name, saved.version)
        with self._lock:
            found = self._parsed.get(key)
        if found is None:
            found = skill_from_json(saved.body) if saved.kind == "skill" else agent_from_json(saved.body)
            with self._lock:
                _put(self._parsed, key, found)
        return found


def _put(kept: OrderedDict[Any, Any], key: Any, value: Any) -> None:
    kept[key] = value
    kept.move_to_end(key)
    while len(kept) > KEPT:
        kept.popitem(last=False)

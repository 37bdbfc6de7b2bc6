"""Invokes a skill or an agent of a workspace: saves changes, and starts the activation."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from fabric_jobs.client.gateway import Gateway, segment
from fabric_jobs.client.snapshots import snapshot_path
from fabric_jobs.errors import NotFound
from fabric_jobs.names import nearest
from fabric_jobs.shell import INVOKER, SHELL, own_shell
from fabric_jobs.workspace.tree import AgentFile, SkillFile, Workspace

SERVICES = [{"name": "input"}]  # of an agent that names none
LOCAL = "local"  # the executor that needs no images


@dataclass(frozen=True, kw_only=True)
class EntryPoint:
    """What to invoke: a skill's input or an agent's service, saved at the gateway."""

    kind: str  # skill | agent
    name: str
    entry: str
    executor: str = ""  # where it runs; empty: the gateway's default


def save_skill(
    gateway: Gateway, workspace: Workspace, name: str, entry: str | None, *, executor: str = ""
) -> EntryPoint:
    """Save a skill and return the input to invoke: `entry`, else the skill's only one.

    If it runs from images, raise NotFound for one that was not built, or whose files have changed since.
    """
    found = workspace.skill(name)
    chosen = input_of(found, entry)
    _post_skill(gateway, found, executor)
    return EntryPoint(kind="skill", name=found.skill.name, entry=chosen, executor=executor)


def save_as_it_is(gateway: Gateway, workspace: Workspace, kind: str, name: str) -> str:
    """Save a skill, or an agent with its skills, without looking for images; return its name."""
    if kind == "skill":
        skill = workspace.skill(name)
        _post_skill(gateway, skill, LOCAL)
        return skill.skill.name
    agent = workspace.agent(name)
    for found in agent.skills:
        _post_skill(gateway, found, LOCAL)
    gateway.post("/agents", agent.document)
    return agent.agent.name


def input_of(found: SkillFile, entry: str | None) -> str:
    """Return the input of a skill to invoke: `entry`, else its only one. Raise NotFound if that is not one input."""
    names = [port.name for port in found.skill.inputs]
    return _entry(entry, names, f"skill '{found.skill.name}'", "input")


def save_agent(
    gateway: Gateway, workspace: Workspace, name: str, entry: str | None, *, executor: str = ""
) -> EntryPoint:
    """Save an agent with its skills and return the service to invoke: `entry`, else the agent's only one.

    Raises NotFound as `save_skill` does.
    """
    found: AgentFile = workspace.agent(name)
    names = [port.name for port in found.agent.inputs]
    chosen = _entry(entry, names, f"agent '{name}'", "service")
    for skill in found.skills:
        _post_skill(gateway, skill, executor)
    gateway.post("/agents", found.document)
    return EntryPoint(kind="agent", name=found.agent.name, entry=chosen, executor=executor)


def saved_there(
    gateway: Gateway, kind: str, name: str, entry: str | None, *, executor: str = "", hint: str = ""
) -> EntryPoint:
    """Return the input or service of a definition that a gateway has; raise NotFound, with `hint`, if it does not."""
    try:
        document = gateway.get(f"/{kind}s/{segment(name)}")
    except NotFound as error:
        raise NotFound(f"the gateway has no {kind} '{name}'.", hint=f"{hint} {error.hint}".strip()) from error
    word, default = ("input", []) if kind == "skill" else ("service", SERVICES)
    names = [port["name"] for port in document.get("inputs") or default]
    chosen = _entry(entry, names, f"{kind} '{name}'", word)
    return EntryPoint(kind=kind, name=document["name"], entry=chosen, executor=executor)


def snapshot_there(gateway: Gateway, snapshot_id: str, entry: str | None, *, executor: str = "") -> EntryPoint:
    """Return the service of a snapshot that a gateway has; raise NotFound if it has none of that id."""
    document = gateway.get(snapshot_path(snapshot_id))["agent"]
    names = [port["name"] for port in document.get("inputs") or SERVICES]
    chosen = _entry(entry, names, f"snapshot '{snapshot_id}'", "service")
    return EntryPoint(kind="agent", name=snapshot_id, entry=chosen, executor=executor)


def start(gateway: Gateway, target: EntryPoint, params: Mapping[str, Any], root: Path | None) -> str:
    """Start an activation and return its id; see `begin`."""
    return str(begin(gateway, target, params, root)["activationId"])


def begin(
    gateway: Gateway,
    target: EntryPoint,
    params: Mapping[str, Any],
    root: Path | None,
    *,
    headers: Mapping[str, str] | None = None,
    cold: bool = False,
) -> Mapping[str, Any]:
    """Start an activation and return the gateway's answer.

    `headers` may be passed on to its skills; `cold` turns warm starts off.

    The id is made here, so that a repeated call starts only one activation.
    """
    kind, ports = ("skillinvoke", "inputs") if target.kind == "skill" else ("agentinvoke", "services")
    query = {"executor": target.executor, "cold": "true" if cold else ""}
    path = f"/{kind}/{segment(target.name)}/{ports}/{segment(target.entry)}"
    path += f"?{urlencode({key: value for key, value in query.items() if value})}"
    body: dict[str, Any] = {**params, "activationId": params.get("activationId") or os.urandom(12).hex()}
    given = dict(headers or {})
    if attempt := os.environ.get("FABRIC_JOBS_ATTEMPT"):  # a job runs this command
        given[INVOKER] = attempt
    if gateway.is_local:
        given["x-fabric-workspace"] = quote(str(root))
        body[SHELL] = own_shell().document()
    answer: Mapping[str, Any] = gateway.post(path, body, headers=given)
    return answer


def _post_skill(gateway: Gateway, found: SkillFile, executor: str) -> None:
    # A remote gateway cannot read these files. There the skill runs from its image, or with the files it was saved with.
    headers = {}
    if gateway.is_local:
        headers["x-fabric-source"] = quote(str(found.directory.absolute()))
    if gateway.is_local and (executor or gateway.executor) != LOCAL:
        from fabric_jobs.workspace.images import images_of  # late: most runs need no image

        gateway.check_engine()
        headers["x-fabric-images"] = quote(json.dumps(images_of(found)))
    gateway.post("/skills", found.document, headers=headers)


def _entry(entry: str | None, names: list[str], what: str, word: str) -> str:
    if entry is None and len(names) == 1:
        return names[0]
    if entry is None:
        raise NotFound(f"{what} has {len(names)} {word}s.", hint=f"Choose one: {', '.join(names)}.")
    if entry not in names:
        raise NotFound(f"{what} has no {word} '{entry}'.", hint=nearest(entry, names))
    return entry

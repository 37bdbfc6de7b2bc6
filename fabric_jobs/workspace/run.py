"""Invokes a skill or an agent of a workspace: saves what changed, starts the activation, follows it to its end."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fabric_jobs.client.gateway import Gateway, segment
from fabric_jobs.errors import NotFound, RunFailed
from fabric_jobs.names import nearest
from fabric_jobs.workspace.tree import AgentFile, SkillFile, Workspace

Watch = Callable[[Sequence[Mapping[str, Any]]], float]  # takes the progress, returns seconds until it wants news


@dataclass(frozen=True, kw_only=True)
class Target:
    """What is invoked: a skill's input or an agent's service, saved at the gateway."""

    kind: str  # skill | agent
    name: str
    entry: str


def save_skill(gateway: Gateway, workspace: Workspace, name: str, entry: str | None) -> Target:
    """Save a skill and return the input to invoke: `entry`, else the skill's only one."""
    found = workspace.skill(name)
    names = [port.name for port in found.skill.inputs]
    chosen = _entry(entry, names, f"skill '{name}'", "input")
    _post_skill(gateway, found)
    return Target(kind="skill", name=found.skill.name, entry=chosen)


def save_agent(gateway: Gateway, workspace: Workspace, name: str, entry: str | None) -> Target:
    """Save an agent with its skills and return the service to invoke: `entry`, else the agent's only one."""
    found: AgentFile = workspace.agent(name)
    names = [port.name for port in found.agent.inputs]
    chosen = _entry(entry, names, f"agent '{name}'", "service")
    for skill in found.skills:
        _post_skill(gateway, skill)
    gateway.post("/agents", found.document)
    return Target(kind="agent", name=found.agent.name, entry=chosen)


def saved_there(gateway: Gateway, kind: str, name: str, entry: str | None) -> Target:
    """Return the input or service of what a gateway has already; raise NotFound when it has not."""
    try:
        document = gateway.get(f"/{kind}s/{segment(name)}")
    except NotFound as error:
        hint = f"Go to a workspace that has it, or save it there with POST /{kind}s. {error.hint}".strip()
        raise NotFound(
            f"the gateway has no {kind} '{name}', and there is none in a workspace here.", hint=hint
        ) from error
    word, default = ("input", []) if kind == "skill" else ("service", [{"name": "input"}])
    names = [port["name"] for port in document.get("inputs") or default]
    return Target(kind=kind, name=document["name"], entry=_entry(entry, names, f"{kind} '{name}'", word))


def start(gateway: Gateway, target: Target, params: Mapping[str, Any], root: Path | None) -> str:
    """Start an activation and return its id. The id is made here, so that a call which is repeated starts it once."""
    kind, ports = ("skillinvoke", "inputs") if target.kind == "skill" else ("agentinvoke", "services")
    path = f"/{kind}/{segment(target.name)}/{ports}/{segment(target.entry)}"
    body = {**params, "activationId": params.get("activationId") or secrets.token_hex(12)}
    headers = {"x-fabric-workspace": quote(str(root))} if gateway.is_local else {}
    answer = gateway.post(path, body, headers=headers)
    return str(answer["activationId"])


def follow(gateway: Gateway, activation_id: str, watch: Watch) -> dict[str, Any]:
    """Return the record of an activation once it has ended; `watch` sees the progress on the way."""
    after = 0
    pause = 0.0
    while True:
        news = gateway.get(f"/activations/{segment(activation_id)}/follow", after=after, wait=pause)
        after = max([after, *(event["number"] for event in news["events"])])
        pause = watch(news["progress"])
        if "activation" in news:
            record: dict[str, Any] = news["activation"]
            return record


def check_ended_well(record: Mapping[str, Any]) -> None:
    """Raise RunFailed, with all that helps, when an activation ended other than COMPLETE."""
    if record["status"] == "COMPLETE":
        return
    error = record.get("error") or {}
    lines = [
        f"activation {record['activationId']} ended {record['status']}: {record.get('cause') or 'no cause is known'}"
    ]
    if error.get("record"):
        place = error["record"]
        later = " or a later one" if place.get("orLater") else ""
        lines.append(f"  record: offset {place['offset']}{later} of {place['mapping']}")
    if error.get("exitCode") is not None:
        lines.append(f"  exit code: {error['exitCode']}")
    if error.get("lastLines"):
        lines += ["  its last lines:", *(f"    {line}" for line in error["lastLines"])]
    hint = f"Read its log: fabric-jobs tasks logs {error['task']}" if error.get("task") else ""
    raise RunFailed("\n".join(lines), hint=hint)


def _post_skill(gateway: Gateway, found: SkillFile) -> None:
    # A remote gateway has not these files: there the skill runs from its image, or with the files that it was saved with.
    headers = {"x-fabric-source": quote(str(found.directory.absolute()))} if gateway.is_local else {}
    gateway.post("/skills", found.document, headers=headers)


def _entry(entry: str | None, names: list[str], what: str, word: str) -> str:
    if entry is None and len(names) == 1:
        return names[0]
    if entry is None:
        raise NotFound(f"{what} has {len(names)} {word}s.", hint=f"Name one: {', '.join(names)}.")
    if entry not in names:
        raise NotFound(f"{what} has no {word} '{entry}'.", hint=nearest(entry, names))
    return entry

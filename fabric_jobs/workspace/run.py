"""Invokes a skill or an agent of a workspace: saves what changed, starts the activation, follows it to its end."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from fabric_jobs.client.gateway import Gateway, segment
from fabric_jobs.errors import NotFound, RunFailed
from fabric_jobs.names import nearest
from fabric_jobs.shell import INVOKER, SHELL, own_shell
from fabric_jobs.states import FINAL_TASK_STATES
from fabric_jobs.workspace.tree import AgentFile, SkillFile, Workspace

CANCEL_SECONDS = 5.0  # between two looks at an activation that is being cancelled; news come sooner

GATHER_SECONDS = 0.2  # of an activation that goes on, news come no more often
Watch = Callable[[Sequence[Mapping[str, Any]]], float]  # takes the progress, returns seconds until it wants news


@dataclass(frozen=True, kw_only=True)
class EntryPoint:
    """What is invoked: a skill's input or an agent's service, saved at the gateway."""

    kind: str  # skill | agent
    name: str
    entry: str
    executor: str = ""  # where it is to run; empty: where the gateway runs things


def save_skill(
    gateway: Gateway, workspace: Workspace, name: str, entry: str | None, *, executor: str = ""
) -> EntryPoint:
    """Save a skill and return the input to invoke: `entry`, else the skill's only one.

    Where it runs from images they have to be built: raises NotFound for one that was not, or whose files have changed since.
    """
    found = workspace.skill(name)
    chosen = input_of(found, entry)
    _post_skill(gateway, found, executor)
    return EntryPoint(kind="skill", name=found.skill.name, entry=chosen, executor=executor)


def input_of(found: SkillFile, entry: str | None) -> str:
    """Return the input of a skill to invoke: `entry`, else its only one. Raise NotFound when that is none."""
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
    """Return the input or service of what a gateway has already; raise NotFound, with `hint`, when it has not."""
    try:
        document = gateway.get(f"/{kind}s/{segment(name)}")
    except NotFound as error:
        raise NotFound(f"the gateway has no {kind} '{name}'.", hint=f"{hint} {error.hint}".strip()) from error
    word, default = ("input", []) if kind == "skill" else ("service", [{"name": "input"}])
    names = [port["name"] for port in document.get("inputs") or default]
    chosen = _entry(entry, names, f"{kind} '{name}'", word)
    return EntryPoint(kind=kind, name=document["name"], entry=chosen, executor=executor)


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
    """Start an activation and return what the gateway answers.

    `headers` may be passed on to its skills; `cold` is without warm starts.

    The id is made here, so that a call which is repeated starts it once.
    """
    kind, ports = ("skillinvoke", "inputs") if target.kind == "skill" else ("agentinvoke", "services")
    query = {"executor": target.executor, "cold": "true" if cold else ""}
    path = f"/{kind}/{segment(target.name)}/{ports}/{segment(target.entry)}"
    path += f"?{urlencode({key: value for key, value in query.items() if value})}"
    body: dict[str, Any] = {**params, "activationId": params.get("activationId") or os.urandom(12).hex()}
    given = dict(headers or {})
    if attempt := os.environ.get("FABRIC_JOBS_ATTEMPT"):  # a job has typed this command
        given[INVOKER] = attempt
    if gateway.is_local:
        given["x-fabric-workspace"] = quote(str(root))
        body[SHELL] = own_shell().document()
    answer: Mapping[str, Any] = gateway.post(path, body, headers=given)
    return answer


def follow(gateway: Gateway, activation_id: str, watch: Watch) -> dict[str, Any]:
    """Return the record of an activation once it has ended; `watch` sees the progress on the way."""
    after = 0
    pause = 0.0
    while True:
        path = f"/activations/{segment(activation_id)}/follow"
        news = gateway.get(path, after=after, wait=pause, pause=min(pause, GATHER_SECONDS))
        after = max([after, *(event["number"] for event in news["events"])])
        pause = watch(news["progress"])
        if "activation" in news:
            record: dict[str, Any] = news["activation"]
            return record


def cancel(gateway: Gateway, activation_id: str) -> None:
    """Cancel an activation and return when its last task has ended, so that what comes next finds nothing in use."""
    path = f"/activations/{segment(activation_id)}"
    gateway.post(f"{path}/cancel")
    after = 0
    while True:
        news = gateway.get(f"{path}/follow", after=after, wait=CANCEL_SECONDS)
        after = max([after, *(event["number"] for event in news["events"])])
        states = {state for node in news["progress"] for state, count in node["tasks"].items() if count}
        if "activation" in news and states <= FINAL_TASK_STATES:
            return


def response_of(gateway: Gateway, record: Mapping[str, Any], *, limit: int) -> Any:
    """Return the response of an activation, also where the record has only {count, href} of it: its first `limit` records."""
    response = record["response"]
    if not is_long(record):
        return response
    parts = gateway.response(str(record["activationId"]), skip=0, limit=limit)
    return [json.loads(line) for part in parts for line in part.splitlines()]


def is_long(record: Mapping[str, Any]) -> bool:
    """Tell whether the record has only {count, href} of a response that is over the limits."""
    response = record["response"]
    return (
        isinstance(response, dict)
        and set(response) == {"count", "href"}
        and str(response["href"]).endswith(f"/activations/{record['activationId']}/response")
    )


def check_ended_well(record: Mapping[str, Any]) -> None:
    """Raise RunFailed, with all that helps, when an activation ended other than COMPLETE."""
    if record["status"] != "COMPLETE":
        raise failure(record)


def failure(record: Mapping[str, Any], *, last_lines: bool = True) -> RunFailed:
    """Return the error that says how an activation failed; without `last_lines` for who prints the log itself."""
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
    if error.get("lastLines") and last_lines:
        lines += ["  its last lines:", *(f"    {line}" for line in error["lastLines"])]
    hint = f"Read its log: fabric-jobs tasks logs {error['task']}" if error.get("task") else ""
    if error.get("hint"):
        hint = f"{error['hint']}\n{hint}".rstrip()
    if error.get("deadLetters"):
        hint = next_for_dead_letters(record)
    return RunFailed("\n".join(lines), hint=hint)


def next_for_dead_letters(record: Mapping[str, Any]) -> str:
    """Return what to type after an activation that has left dead letters."""
    return f"Next: fabric-jobs deadletters list --activation {record['activationId']}"


def _post_skill(gateway: Gateway, found: SkillFile, executor: str) -> None:
    # A remote gateway has not these files: there the skill runs from its image, or with the files that it was saved with.
    headers = {}
    if gateway.is_local:
        headers["x-fabric-source"] = quote(str(found.directory.absolute()))
    if gateway.is_local and (executor or gateway.executor) != "local":
        from fabric_jobs.workspace.images import images_of  # late: most runs need no image

        gateway.check_engine()
        headers["x-fabric-images"] = quote(json.dumps(images_of(found)))
    gateway.post("/skills", found.document, headers=headers)


def _entry(entry: str | None, names: list[str], what: str, word: str) -> str:
    if entry is None and len(names) == 1:
        return names[0]
    if entry is None:
        raise NotFound(f"{what} has {len(names)} {word}s.", hint=f"Name one: {', '.join(names)}.")
    if entry not in names:
        raise NotFound(f"{what} has no {word} '{entry}'.", hint=nearest(entry, names))
    return entry

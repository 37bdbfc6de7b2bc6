"""Describes an attempt: the message, the variables, the files (docs/reference/runtime.md). Pure, but for `process_of`."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fabric_jobs import sizes
from fabric_jobs.definitions import Action, Resources
from fabric_jobs.engine import tokens
from fabric_jobs.engine.secrets import Secrets
from fabric_jobs.executors.base import AttemptSpec, Inside, Limits, ProcessSpec
from fabric_jobs.records import Activation, SavedDefinition, Task
from fabric_jobs.routing import Node, sending_id
from fabric_jobs.shell import Shells
from fabric_jobs.store import definitions
from fabric_jobs.store.sql import Sql
from fabric_jobs.user_files import program_directory, workspace_of

PAYLOAD_FILE = "payload.json"
CLASS_WORKER = "cortex_worker.class_worker"  # imported ahead, too
NO_SCRIPT = "on this machine nothing would keep the script from changing it. Use --executor docker"
NO_CONDA = "name the packages in requirements.txt, or use --executor docker with an image that has conda"
SCHEDULED = r".*-[0-9]{8}T[0-9]{6}([0-9]{3})?Z-[0-9a-f]{8}"  # the id of a schedule's run; others may look like one


@dataclass(frozen=True, kw_only=True)
class Issuing:
    """What the owner needs to make messages to jobs."""

    key: bytes  # signs tokens
    argv_bytes: int  # longest message that goes into argv
    secrets: Secrets
    shells: Shells = field(default_factory=Shells, repr=False)

    def to(self, activation: Activation, task: Task, inside: Inside, *, scheduled_at: str = "") -> Issued:
        """Return what the message to one attempt needs."""
        token = tokens.sign(claims(activation, task), self.key)
        attempt = f"{task.task_id}-{task.attempt}"
        return Issued(
            token=token, inside=inside, argv_bytes=self.argv_bytes, attempt=attempt, scheduled_at=scheduled_at
        )

    def opened(self, node: Node, project_id: str) -> Node:
        """Return a node with the secrets that its properties name; the same node if they name none.

        It is for one message, and never stored. Raises what `Secrets.resolved` does.
        """
        found = self.secrets.resolved(project_id, node.properties)
        return node if found is node.properties else replace(node, properties=found)


@dataclass(frozen=True, kw_only=True)
class Issued:
    """What the message to one attempt needs."""

    token: str
    inside: Inside
    argv_bytes: int
    attempt: str = ""  # the id of task and attempt
    scheduled_at: str = ""  # the time that a schedule's run is for; empty: no schedule started it


def attempt_spec(
    activation: Activation, task: Task, node: Node, payload: bytes | None, process: ProcessSpec, issued: Issued
) -> AttemptSpec:
    """Return what an executor needs to start the current attempt of a task.

    `payload` is the record as JSON text (None for a stream, which reads its records), `process` the action's program.
    """
    inside = issued.inside
    envelope = message(activation, task, node, issued)
    body = with_payload(envelope, payload or b"null")
    files: Mapping[str, bytes] = {}
    if payload is not None and (node.action.message == "file" or len(body.encode()) > issued.argv_bytes):
        body = json.dumps({**envelope, "payloadFile": f"{inside.files}/{PAYLOAD_FILE}"})
        files = {PAYLOAD_FILE: payload}
    spec = AttemptSpec(
        name=task.attempt_name,
        processes=(process,),
        files=files,
        labels=labels_of(task, activation.activation_id),
        timeout=node.action.timeout or 0.0,
    )
    return with_message(spec, node.action, body, issued)


def as_daemon(spec: AttemptSpec, action: Action, port: int, inside: Inside) -> AttemptSpec:
    """Return the attempt of a daemon with its port and variables."""
    (process,) = spec.processes
    environment = {
        **action.environment,
        "CORTEX_PROJECT": spec.labels["project"],
        "FABRIC_JOBS_SOCKET": inside.socket,
    }
    wanted = replace(process, environment=environment, port=port, gateway=inside.gateway)
    return replace(spec, processes=(wanted,), replicas=action.scale_count)


def labels_of(task: Task, activation_id: str) -> dict[str, str]:
    """Return what the attempts of a task are part of."""
    return {
        "project": task.project_id,
        "activation": activation_id,
        "skill": task.skill_name,
        "action": task.action_name,
        "task": str(task.task_id),
    }


def with_message(spec: AttemptSpec, action: Action, body: str, issued: Issued) -> AttemptSpec:
    """Return the attempt of an action with its message, token, and variables."""
    (process,) = spec.processes
    inside = issued.inside
    environment = {
        **action.environment,
        "CORTEX_PAYLOAD": body,
        "CORTEX_TOKEN": issued.token,
        "CORTEX_PROJECT": spec.labels["project"],
        "FABRIC_JOBS_SOCKET": inside.socket,
        "FABRIC_JOBS_RECORDS": inside.records,
        "FABRIC_JOBS_ATTEMPT": issued.attempt,
        "FABRIC_JOBS_WORKSPACE": process.workspace,
        **({"FABRIC_JOBS_SCHEDULED_AT": issued.scheduled_at} if issued.scheduled_at else {}),
    }
    wanted = replace(process, arguments=(body,), environment=environment, gateway=inside.gateway)
    return replace(spec, processes=(wanted,))


def message(activation: Activation, task: Task, node: Node, issued: Issued) -> dict[str, object]:
    """Return the message, except for its payload."""
    project = activation.project_id
    return {
        "activationId": activation.activation_id,
        "agentName": f"{project}-{activation.name}" if activation.kind == "agent" else "",
        "apiEndpoint": issued.inside.api_endpoint,
        "channelId": sending_id(activation.activation_id, node.key),
        "headers": activation.headers,
        "outputName": node.output,
        "projectId": project,
        "properties": dict(node.properties),
        "sessionId": activation.session_id,
        "skillName": f"{project}-{task.skill_name}",
        "timestamp": int(time.time() * 1000),
        "token": issued.token,
        **({"scheduledAt": issued.scheduled_at} if issued.scheduled_at else {}),
    }


def process_of(sql: Sql, activation: Activation, skill_name: str, action: Action) -> ProcessSpec:
    """Return the program of an action in the version of its skill that an activation pins; it has no message yet.

    When the caller has no workspace, it is the one that contains the skill's files.
    """
    version = activation.pins["skills"][skill_name]
    saved = definitions.find(sql, activation.project_id, "skill", skill_name, version)
    workspace = activation.workspace
    if not workspace and saved is not None and saved.source:
        workspace = str(workspace_of(Path(saved.source, "skill.yaml")) or "")
    return program_of(saved, replace(action, warm=None) if activation.cold else action, workspace)


def scheduled_at(sql: Sql, activation: Activation) -> str:
    """Return the time that a schedule's run is for, also for one that retries its dead letters; empty if no schedule started it."""
    if not re.fullmatch(SCHEDULED, activation.retry_of or activation.activation_id):
        return ""
    from fabric_jobs.schedules.schedule import iso  # late: most owners have no schedules
    from fabric_jobs.store import schedules

    found = schedules.of_activation(sql, activation.activation_id, activation.retry_of)
    return "" if found is None else iso(found[1])


def program_of(saved: SavedDefinition | None, action: Action, workspace: str = "") -> ProcessSpec:
    """Return the program of an action of a saved skill; None stands for a skill deleted meanwhile."""
    source = saved.source if saved is not None else ""
    images = saved.images if saved is not None else {}
    found = ProcessSpec(
        directory=program_directory(Path(source), action.name) if source else None,
        command=action.command,
        image=images.get(action.name, action.image),
        python=action.python,
        workspace=workspace,
        limits=limits_of(action.resources),
        warm=action.warm,
        pod_spec=action.pod_spec,
        k8s_resources=action.k8s_resources,
    )
    own = _of_code(action)
    return replace(found, **own) if own else found


def _of_code(action: Action) -> dict[str, Any]:
    """Return what is special about the program of an API whose code is a class."""
    code = action.api.code if action.api is not None else None
    if code is None:
        return {}
    unsupported = {code.shell: NO_SCRIPT, code.conda: NO_CONDA}
    warm = None if action.warm is None else (CLASS_WORKER, *action.warm)
    return {"requirements": code.pip, "unsupported": unsupported, "is_project": True, "warm": warm}


def limits_of(resources: Resources) -> Limits:
    """Return resources, written as Kubernetes does, as numbers."""
    cpu = sizes.processors_of(resources.cpu)
    return Limits(cpu=cpu, memory=sizes.bytes_of(resources.memory or "0"), gpu=resources.gpu)


def claims(activation: Activation, task: Task) -> dict[str, object]:
    """Return the claims of a task's token."""
    return {
        "sub": activation.username,
        "aud": activation.project_id,
        "activation": activation.activation_id,
        "task": task.task_id,
        "attempt": task.attempt,
    }


def with_payload(envelope: Mapping[str, object], payload: bytes) -> str:
    """Return an envelope and its payload (JSON text) as one JSON object."""
    # The payload goes in unchanged: decoding it could spell its numbers differently.
    return f'{json.dumps(envelope)[:-1]}, "payload": {payload.decode()}}}'

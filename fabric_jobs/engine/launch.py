"""Describes an attempt: the message, the variables, the files (reference/fabric.md section 4). Pure."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fabric_jobs.engine import tokens
from fabric_jobs.errors import InvalidInput
from fabric_jobs.executors.base import FILES, AttemptSpec, ProcessSpec
from fabric_jobs.records import Activation, Task
from fabric_jobs.routing import Node, sending_id
from fabric_jobs.store import definitions
from fabric_jobs.store.sql import Sql

PAYLOAD_FILE = "payload.json"


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Where jobs reach the gateway."""

    api_endpoint: str  # http://127.0.0.1:PORT/px
    socket: str  # path of the Unix socket
    key: bytes  # signs tokens
    argv_bytes: int  # longest message that goes into argv


def attempt_spec(
    activation: Activation, task: Task, node: Node, payload: bytes | None, source: str, endpoint: Endpoint
) -> AttemptSpec:
    """Return what an executor needs to start the current attempt of a task.

    `payload` is the record as JSON text (None: a stream, which reads its records), `source` the directory of the skill.
    """
    token = tokens.sign(claims(activation, task), endpoint.key)
    envelope = message(activation, task, node, endpoint.api_endpoint, token)
    body = with_payload(envelope, payload or b"null")
    files: Mapping[str, bytes] = {}
    if len(body.encode()) > endpoint.argv_bytes:
        body = json.dumps({**envelope, "payloadFile": f"{FILES}/{PAYLOAD_FILE}"})
        files = {PAYLOAD_FILE: payload or b"null"}
    environment = {
        **node.action.environment,
        "CORTEX_PAYLOAD": body,
        "CORTEX_TOKEN": token,
        "CORTEX_PROJECT": activation.project_id,
        "FABRIC_JOBS_SOCKET": endpoint.socket,
        "FABRIC_JOBS_ATTEMPT": f"{task.task_id}-{task.attempt}",
        "FABRIC_JOBS_WORKSPACE": activation.workspace,
    }
    process = ProcessSpec(
        directory=action_directory(source, node.action.name),
        command=node.action.command,
        arguments=(body,),
        image=node.action.image,
        python=node.action.python,
        environment=environment,
    )
    return AttemptSpec(name=task.attempt_name, processes=(process,), files=files)


def message(activation: Activation, task: Task, node: Node, api_endpoint: str, token: str) -> dict[str, object]:
    """Return the message without its payload."""
    project = activation.project_id
    return {
        "activationId": activation.activation_id,
        "agentName": f"{project}-{activation.name}" if activation.kind == "agent" else "",
        "apiEndpoint": api_endpoint,
        "channelId": sending_id(activation.activation_id, node.key),
        "headers": activation.headers,
        "outputName": node.output,
        "projectId": project,
        "properties": dict(node.properties),
        "sessionId": activation.session_id,
        "skillName": f"{project}-{task.skill_name}",
        "timestamp": int(time.time() * 1000),
        "token": token,
    }


def action_directory(source: str, action: str) -> Path:
    """Return where an action's program runs: its directory, or that of the skill when it has none."""
    directory = Path(source) / "actions" / action
    return directory if directory.is_dir() else Path(source)


def source_of(sql: Sql, activation: Activation, skill_name: str) -> str:
    """Return the directory of a skill's files, as the version has it that an activation pins; raise InvalidInput without one."""
    version = activation.pins["skills"][skill_name]
    saved = definitions.find(sql, activation.project_id, "skill", skill_name, version)
    if saved is None or not saved.source:
        raise InvalidInput(
            f"skill '{skill_name}' was saved without its files, so there is no program to run here.",
            hint="Invoke it from its workspace.",
        )
    return saved.source


def claims(activation: Activation, task: Task) -> dict[str, object]:
    """Return what the token of a task says (reference/fabric.md 4.4)."""
    return {
        "sub": activation.username,
        "aud": activation.project_id,
        "activation": activation.activation_id,
        "task": task.task_id,
        "attempt": task.attempt,
    }


def with_payload(envelope: Mapping[str, object], payload: bytes) -> str:
    """Return an envelope with its payload, which is JSON text, as one JSON object."""
    # The payload goes in as it came: no decoding, no other spelling of its numbers.
    return f'{json.dumps(envelope)[:-1]}, "payload": {payload.decode()}}}'

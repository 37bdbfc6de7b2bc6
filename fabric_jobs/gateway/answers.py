"""Answers: activations, tasks and times as JSON."""

from __future__ import annotations

from typing import Any

import orjson

from fabric_jobs.records import Activation, Task


def milliseconds(at: float | None) -> int | None:
    """Return a time in the form of answers (docs/reference/compatibility.md#times)."""
    return None if at is None else round(at * 1000)


def activation_json(activation: Activation, payload: bytes, response: Any, dead_letters: int = 0) -> dict[str, Any]:
    """Return the activation record described in docs/reference/http.md."""
    agent = activation.kind == "agent"
    record = {
        "success": True,
        "activationId": activation.activation_id,
        "requestId": activation.activation_id,
        "correlationId": activation.correlation_id,
        ("agentName" if agent else "skillName"): activation.name,
        ("serviceName" if agent else "inputName"): activation.entry,
        "sessionId": activation.session_id,
        "projectId": activation.project_id,
        "username": activation.username,
        "payload": orjson.Fragment(payload),  # unchanged
        "properties": activation.properties,
        "headers": activation.headers,
        "start": milliseconds(activation.started_at),
        "end": milliseconds(activation.ended_at),
        "status": activation.state.value,
        "response": response,
    }
    if activation.key:
        record["key"] = activation.key
    if activation.executor != "local":
        record["executor"] = activation.executor
    if activation.cause:
        record["cause"] = activation.cause
    if dead_letters:
        record["deadLetters"] = dead_letters
    if activation.retry_of:
        record["retryOf"] = activation.retry_of
    if activation.error is not None:
        record["error"] = activation.error
    return record


def task_json(task: Task, activation: Activation | None) -> dict[str, Any]:
    """Return a task in the form described in docs/reference/http.md."""
    return {
        "name": task.name,
        "activationId": task.activation_id,
        "skillName": task.skill_name,
        "actionName": task.action_name,
        "agentName": activation.name if activation is not None and activation.kind == "agent" else "",
        "node": task.node,
        "receives": task.receives,
        "state": task.state.value,
        "attempt": task.attempt,
        "startTime": milliseconds(task.started_at),
        "endTime": milliseconds(task.ended_at),
        "exitCode": task.exit_code,
        "cause": task.cause,
        "sent": task.sent,
        "record": _record(task),
        "username": activation.username if activation is not None else "",
    }


def _record(task: Task) -> dict[str, Any] | None:
    """Return which record a task handles, or where its batch begins and how many records that has."""
    if task.channel_id is None:
        return None
    count = {"count": task.records} if task.receives == "batch" else {}
    return {"channel": task.channel_id, "offset": task.record_offset, **count}

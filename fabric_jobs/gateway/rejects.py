"""Turns records that a program rejects into dead letters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import orjson

from fabric_jobs.errors import InvalidInput, RunFailed
from fabric_jobs.gateway.parts import Parts
from fabric_jobs.records import Task
from fabric_jobs.store import activations, channels
from fabric_jobs.store.dead_letters import NewDeadLetter

REASON_CHARACTERS = 1000
DETAILS_BYTES = 64 << 10


def letters(parts: Parts, task: Task, given: Sequence[Any]) -> tuple[NewDeadLetter, ...]:
    """Return the dead letters of `rejects` in the head of a commit: [[channel, offset, reason, details], …].

    Channel and offset are null for the record of a message task. Raises InvalidInput, ValueError or TypeError if malformed.
    """
    activation = activations.find(parts.store.read, str(task.activation_id))
    assert activation is not None
    plan = parts.engine.plans.of(parts.store.read, activation)
    found = channels.inbound(parts.store.read, activation.activation_id, task.node)
    mappings = {channel.channel_id: str(plan.wires[channel.wire]) for channel in found}
    new = [_letter(task, plan.nodes[task.node].action.on_error, mappings, *entry) for entry in given]
    masks = parts.secrets.masks(task.project_id)
    return tuple(replace(one, error={**one.error, "reason": masks.text(one.error["reason"])}) for one in new)


def _letter(
    task: Task, on_error: str, mappings: dict[int, str], channel: Any, offset: Any, *said: Any
) -> NewDeadLetter:
    if channel is None:
        channel, offset = task.channel_id, task.record_offset
    if channel not in mappings or not isinstance(offset, int) or isinstance(offset, bool):
        raise InvalidInput(
            "there is no such record to reject.", hint="A stream rejects the record that messages() gave last."
        )
    reason, details = said
    if len(orjson.dumps(details)) > DETAILS_BYTES:
        raise ValueError(f"the details of a rejected record are longer than {DETAILS_BYTES:,} bytes")
    error: dict[str, Any] = {
        "skill": task.skill_name,
        "action": task.action_name,
        "task": task.name,
        "record": {"channel": channel, "offset": offset, "mapping": mappings[channel]},
        "exitCode": None,
        "reason": str(reason)[:REASON_CHARACTERS],
        "lastLines": [],
    }
    return NewDeadLetter(
        project_id=task.project_id,
        activation_id=str(task.activation_id),
        channel_id=channel,
        record_offset=offset,
        task_id=task.task_id,
        skill_name=task.skill_name,
        error=error | ({"details": details} if details else {}),
        on_error=on_error,
        attempts=task.failures + 1 if task.channel_id is not None else 1,
    )


def check_goes_on(rejected: Iterable[NewDeadLetter]) -> None:
    """Raise RunFailed if a rejected record fails the activation; then the program must end."""
    for letter in rejected:
        if letter.on_error == "fail":
            raise RunFailed(
                f"the record is rejected ({letter.error['reason']}), and 'onError: fail' ends the activation"
            )

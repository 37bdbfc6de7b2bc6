"""Decides what an invocation that comes twice means: by its key or its id, in the transaction that would start it."""

from __future__ import annotations

import json
from typing import Any

from fabric_jobs import json_text
from fabric_jobs.errors import AlreadyExists
from fabric_jobs.records import Activation
from fabric_jobs.states import ActivationState
from fabric_jobs.store import Tx, activations
from fabric_jobs.store.activations import NewActivation

RETRY, ATTACH, FAIL = IF_EXISTS = ("retry", "attach", "fail")
SHOWN = 100  # characters of a key in a message
FAILED = (ActivationState.ERROR, ActivationState.CANCELLED)


def existing(tx: Tx, new: NewActivation, if_exists: str = RETRY) -> Activation | None:
    """Return the activation that this invocation has started before; None when it has to start one.

    An id names one activation for good, so `retry` starts another one only for a key. Raises AlreadyExists with `fail`,
    and when the key or the id belongs to a different invocation.
    """
    found = activations.find(tx, new.activation_id)
    if found is not None:
        _check_same(tx, found, new, f"activationId '{new.activation_id}'")
    elif new.key:
        found = activations.of_key(tx, new.project_id, new.key)
        if found is None or (found.state in FAILED and if_exists == RETRY):
            return None
        _check_same(tx, found, new, f"key {json.dumps(new.key[:SHOWN], ensure_ascii=False)}")
    if found is not None and if_exists == FAIL:
        raise AlreadyExists(
            f"activation '{found.activation_id}' exists, and is {found.state.value}.",
            hint="Choose another key or id, or leave out 'ifExists: fail' to attach to it.",
            activation_id=found.activation_id,
        )
    return found


def _check_same(tx: Tx, found: Activation, new: NewActivation, name: str) -> None:
    if found.project_id != new.project_id:  # say nothing about another project
        raise AlreadyExists(
            f"{name} is taken.",
            hint="Ids are unique in a gateway, keys only in a project: choose another id, or give a 'key' instead.",
        )
    differences = tuple(_differences(tx, found, new))
    if differences:
        what = " and ".join(f"another {key}" for key, _ in differences)
        raise AlreadyExists(
            f"{name} belongs to activation '{found.activation_id}', which was invoked with {what}.",
            hint="A key or an id stands for one invocation; choose another one for a different invocation.",
            activation_id=found.activation_id,
            differences=differences,
        )


def _differences(tx: Tx, found: Activation, new: NewActivation) -> list[tuple[str, str]]:
    """Return what of an invocation is not as it was: target, payload, properties, key, each with a message."""
    differences = []
    there = (found.kind, found.name, found.entry, found.retry_of)
    if there != (new.kind, new.name, new.entry, new.retry_of):
        differences.append(("target", _target(found)))
    if not _equal(activations.payload(tx, found.activation_id), new.payload):
        differences.append(("payload", "the payload is not the same"))
    if _spelled(found.properties) != _spelled(new.properties):
        sides = [{name: _spelled(value) for name, value in each.items()} for each in (found.properties, new.properties)]
        names = [name for name in sorted({*sides[0], *sides[1]}) if sides[0].get(name) != sides[1].get(name)]
        differences.append(("properties", f"these are not the same: {', '.join(names)}"))
    if new.key and found.key != new.key:
        differences.append(("key", "it had another key" if found.key else "it had no key"))
    return differences


def _target(found: Activation) -> str:
    if found.retry_of:
        return f"it retries dead letters of activation '{found.retry_of}'"
    port = "service" if found.kind == "agent" else "input"
    return f"it was {found.kind} '{found.name}', {port} '{found.entry}'"


def _equal(before: bytes, now: bytes) -> bool:
    """Tell whether two compact JSON texts have one value; the order of keys does not matter."""
    if before == now or len(before) != len(now):
        return before == now
    return _spelled(json_text.loads(before)) == _spelled(json_text.loads(now))


def _spelled(value: Any) -> str:
    return json.dumps(value, sort_keys=True)

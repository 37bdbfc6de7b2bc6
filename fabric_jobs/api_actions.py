"""What the properties of an API's skill say of its workers (docs/explanation/batches.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fabric_jobs import conditions
from fabric_jobs.definitions import Action, Batch
from fabric_jobs.errors import InvalidInput


def for_api(action: Action, properties: Mapping[str, Any]) -> Action:
    """Return the action of an API's workers with what the properties say of them; any other action as it is."""
    if action.api is None or not action.api.is_batch:
        return action
    size = _positive(properties, "batch_size")
    return replace(action, workers=_positive(properties, "workers"), batch=Batch(size=size, split=False))


def _positive(properties: Mapping[str, Any], name: str) -> int:
    text = conditions.text_of(properties.get(name))
    if not (text.isascii() and text.isdecimal() and int(text[:10]) > 0 and len(text) < 10):
        raise InvalidInput(f"the property '{name}' is '{text}', and must be a whole number from 1 on.")
    return int(text)

"""The shapes that the JSON Schemas of operations are made of, for the documentation only."""

from __future__ import annotations

from typing import Any

from fabric_jobs.states import ActivationState, TaskState

TEXT = {"type": "string"}
COUNT = {"type": "integer", "minimum": 0}
MILLISECONDS = {"type": "integer", "description": "Milliseconds since 1970."}
MAYBE_MILLISECONDS = {"type": ["integer", "null"], "description": "Milliseconds since 1970."}
ACTIVATION_STATE = {"enum": [state.value for state in ActivationState]}
TASK_STATE = {"enum": [state.value for state in TaskState]}
YES_OR_NO = {"type": "boolean"}
COUNTS = {"type": "object", "additionalProperties": COUNT}
SUCCESS = {"const": True}
PAYLOAD = {"description": "Any JSON value of at most 16 MiB."}


def ref(name: str) -> dict[str, Any]:
    """Return a reference to a schema."""
    return {"$ref": f"#/components/schemas/{name}"}


def record(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    """Return the schema of an object."""
    return {"type": "object", "properties": {**required, **optional}, "required": list(required)}


def said(kind: str | list[str], meaning: str) -> dict[str, Any]:
    """Return the schema of a value with its meaning."""
    return {"type": kind, "description": meaning}


def count(meaning: str) -> dict[str, Any]:
    """Return the schema of a number of things, with its meaning."""
    return {**COUNT, "description": meaning}


def good(**keys: Any) -> dict[str, Any]:
    """Return the schema of a successful answer."""
    return record({"success": SUCCESS, **keys})


def listed(name: str, schema: str, **more: Any) -> dict[str, Any]:
    """Return the schema of a successful answer that is a list."""
    return good(**{name: {"type": "array", "items": ref(schema)}}, **more)

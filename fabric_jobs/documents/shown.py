"""A definition as a gateway stores it, and as it shows it.

It adds keys of its own, and an empty list where an input has no parameters (docs/reference/compatibility.md#parameters-of-inputs).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SERVER_KEYS = ("_version", "actionStatuses", "createdAt", "createdBy", "deployStatus", "updatedAt", "updatedBy")


def with_parameters(document: dict[str, Any]) -> dict[str, Any]:
    """Return a definition as a gateway shows it, without the keys of its own: all its inputs have `parameters`."""
    if not document.get("inputs"):
        return document
    return {**document, "inputs": [{**port, "parameters": port.get("parameters") or []} for port in document["inputs"]]}


def without_server_keys(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a definition without the keys that a gateway adds."""
    return {key: value for key, value in document.items() if key not in SERVER_KEYS}


def as_stored(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a definition as it is stored, so that saving it as it was shown makes no new version."""
    found = without_server_keys(document)
    if found.get("inputs"):
        found["inputs"] = [
            {key: value for key, value in port.items() if (key, value) != ("parameters", [])}
            for port in found["inputs"]
        ]
    return found

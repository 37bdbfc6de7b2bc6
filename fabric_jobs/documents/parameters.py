"""Inputs without parameters: a gateway shows an empty list, but does not store it.

See docs/reference/compatibility.md#parameters-of-inputs.
"""

from __future__ import annotations

from typing import Any


def with_parameters(document: dict[str, Any]) -> dict[str, Any]:
    """Return a definition as a gateway shows it: all its inputs have `parameters`."""
    if not document.get("inputs"):
        return document
    return {**document, "inputs": [{**port, "parameters": port.get("parameters") or []} for port in document["inputs"]]}


def without_empty_parameters(document: dict[str, Any]) -> dict[str, Any]:
    """Return a definition as it is stored, so that saving it as it was shown makes no new version."""
    if not document.get("inputs"):
        return document
    ports = [
        {key: value for key, value in port.items() if (key, value) != ("parameters", [])} for port in document["inputs"]
    ]
    return {**document, "inputs": ports}

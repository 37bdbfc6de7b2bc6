"""Secrets of a project; their values are only sent, never fetched."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from fabric_jobs.client.gateway import segment

if TYPE_CHECKING:
    from fabric_jobs.client.gateway import Gateway


def list_secrets(gateway: Gateway) -> list[dict[str, Any]]:
    """Return name and time of each secret."""
    found: list[dict[str, Any]] = gateway.get("/secrets")["secrets"]
    return found


def set_secret(gateway: Gateway, name: str, value: str) -> str:
    """Set a secret; return what the gateway says."""
    return str(gateway.post(f"/secrets/{segment(name)}", {"value": value})["message"])


def delete_secret(gateway: Gateway, name: str) -> str:
    """Delete a secret; return what the gateway says. Raises NotFound."""
    return str(json.loads(gateway.raw("DELETE", f"/secrets/{segment(name)}").body)["message"])


def rotate_key(gateway: Gateway) -> int:
    """Seal all secrets with a new key; return how many there are."""
    return int(gateway.post("/state/rotate-key")["count"])

"""Snapshots of agents."""

from __future__ import annotations

import json
import secrets
from typing import Any

from fabric_jobs.client.gateway import Gateway, segment


def create_snapshot(gateway: Gateway, agent: str, title: str) -> dict[str, Any]:
    """Freeze an agent; return the snapshot. Its id is made here, so that a repeated call makes one snapshot."""
    body = {"snapshotId": secrets.token_hex(12), "title": title}
    made: dict[str, Any] = gateway.post(f"/agents/{segment(agent)}/snapshots", body)
    return made


def list_snapshots(gateway: Gateway, agent: str) -> list[dict[str, Any]]:
    """Return the snapshots of an agent, the newest first."""
    found: list[dict[str, Any]] = gateway.get(f"/agents/{segment(agent)}/snapshots")["snapshots"]
    return found


def delete_snapshot(gateway: Gateway, snapshot_id: str) -> str:
    """Delete a snapshot; return what the gateway says."""
    return str(json.loads(gateway.raw("DELETE", snapshot_path(snapshot_id)).body)["message"])


def snapshot_path(snapshot_id: str) -> str:
    """Return the path of a snapshot below the project."""
    return f"/snapshots/{segment(snapshot_id)}"

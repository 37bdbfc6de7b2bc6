"""Schedules at a gateway."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fabric_jobs.client.gateway import segment

if TYPE_CHECKING:
    from fabric_jobs.client.gateway import Gateway


def listed(gateway: Gateway) -> Mapping[str, Any]:
    """Return the schedules, and whether the gateway fires them."""
    found: Mapping[str, Any] = gateway.get("/schedules")
    return found


def find(gateway: Gateway, name: str) -> Mapping[str, Any]:
    """Return a schedule, and whether the gateway fires it; raise NotFound."""
    found: Mapping[str, Any] = gateway.get(_path(name))
    return found


def occurrences(gateway: Gateway, name: str, limit: int) -> list[dict[str, Any]]:
    """Return what became of its times, the newest first."""
    found: list[dict[str, Any]] = gateway.get(_path(name, "occurrences"), limit=limit)["occurrences"]
    return found


def next_times(gateway: Gateway, name: str, count: int) -> list[dict[str, Any]]:
    """Return its next times."""
    found: list[dict[str, Any]] = gateway.get(_path(name, "next"), count=count)["times"]
    return found


def save(gateway: Gateway, document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Create or replace a schedule."""
    found: Mapping[str, Any] = gateway.post("/schedules", document)
    return found


def apply(gateway: Gateway, documents: Sequence[Mapping[str, Any]], *, prune: bool) -> Mapping[str, Any]:
    """Create or replace schedules, all or none; with `prune`, delete the others."""
    found: Mapping[str, Any] = gateway.post("/schedules/apply", {"schedules": documents, "prune": prune})
    return found


def pause(gateway: Gateway, name: str, note: str) -> str:
    """Pause a schedule; return what the gateway says."""
    return str(gateway.post(_path(name, "pause"), {"note": note})["message"])


def resume(gateway: Gateway, name: str) -> str:
    """Resume a schedule; return what the gateway says."""
    return str(gateway.post(_path(name, "resume"))["message"])


def delete(gateway: Gateway, name: str) -> str:
    """Delete a schedule; return what the gateway says."""
    return str(json.loads(gateway.raw("DELETE", _path(name)).body)["message"])


def trigger(gateway: Gateway, name: str) -> Mapping[str, Any]:
    """Start a run now; return what became of it. The time is chosen here, so that a repeated call starts one run."""
    found: Mapping[str, Any] = gateway.post(_path(name, "trigger"), {"at": round(time.time() * 1000)})
    return found


def backfill(gateway: Gateway, name: str, start: str, end: str | None, *, dry_run: bool) -> Iterator[Mapping[str, Any]]:
    """Start the runs of past times; yield an answer for each hundred of them."""
    begin: Any = start
    while begin is not None:
        body = {"from": begin, "to": end, "dryRun": dry_run}
        answer: Mapping[str, Any] = gateway.post(_path(name, "backfill"), body)
        yield answer
        begin = answer["nextFrom"]


def _path(name: str, verb: str = "") -> str:
    return f"/schedules/{segment(name)}" + (f"/{verb}" if verb else "")

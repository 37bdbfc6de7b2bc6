"""Reports what each skill of an activation did: `?report` and `?verbose` (docs/reference/http.md)."""

from __future__ import annotations

import time
from typing import Any

from fabric_jobs.executors.base import Note
from fabric_jobs.gateway import notes
from fabric_jobs.gateway.answers import milliseconds
from fabric_jobs.gateway.parts import Parts
from fabric_jobs.records import Activation, Channel
from fabric_jobs.states import FINAL_TASK_STATES, ActivationState, TaskState
from fabric_jobs.store import activations, channels
from fabric_jobs.store.totals import NodeTotals, by_node


def report(parts: Parts, activation: Activation) -> dict[str, Any]:
    """Return status, times and path of an activation."""
    found = by_node(parts.store.read, activation.activation_id)
    plan = parts.engine.plans.of(parts.store.read, activation)
    transits = [
        _transit(node.ref_id, node.skill_name, found[node.key], activation)
        for node in plan.nodes.values()
        if node.key in found
    ]
    transits.sort(key=lambda transit: transit["start"] or 2**53)
    if activation.ended:
        end = milliseconds(activation.ended_at)
        transits.append(
            {
                "name": plan.response,
                "title": plan.response,
                "type": "output",
                "status": activation.state.value,
                "elapsed": 0,
                "start": end,
                "end": end,
            }
        )
    return {
        "success": True,
        "activationId": activation.activation_id,
        "status": activation.state.value,
        "elapsed": _elapsed(activation.started_at, activation.ended_at),
        "start": milliseconds(activation.started_at),
        "end": milliseconds(activation.ended_at),
        "transits": transits,
    }


def progress(parts: Parts, activation: Activation) -> list[dict[str, Any]]:
    """Return what each skill has received, sent, and still has to do."""
    sql = parts.store.read
    plan = parts.engine.plans.of(sql, activation)
    inbound: dict[str, list[Channel]] = {}
    for channel in channels.of_activation(sql, activation.activation_id):
        inbound.setdefault(channel.node, []).append(channel)
    totals = by_node(sql, activation.activation_id)
    noted = notes.by_node(parts, activation.activation_id)
    if not activation.admitted:
        noted = dict.fromkeys(plan.first(), Note(doing=_turn(parts, activation)))
    return [
        {
            "skill": node.ref_id,
            "node": node.key,
            "in": sum(channel.next_offset for channel in inbound.get(node.key, [])),
            "waiting": sum(channel.unfinished for channel in inbound.get(node.key, [])),
            "out": totals[node.key].sent if node.key in totals else 0,
            "failed": sum(channel.dead for channel in inbound.get(node.key, [])),
            "tasks": totals[node.key].states if node.key in totals else {},
            "note": "" if activation.ended else noted.get(node.key, Note()).doing,
            "remarks": list(noted.get(node.key, Note()).remarks),
        }
        for node in plan.nodes.values()
    ]


def _turn(parts: Parts, activation: Activation) -> str:
    """Return why an activation has not started yet."""
    before = activations.waiting_before(parts.store.read, activation.activation_id)
    return (
        f"waiting for its turn, with {before or 'none'} before it (at most {parts.settings.activations} run at a time)"
    )


def _transit(ref_id: str, skill_name: str, totals: NodeTotals, activation: Activation) -> dict[str, Any]:
    running = not activation.ended and not totals.states.keys() <= FINAL_TASK_STATES
    is_bad = any(state in totals.states for state in FINAL_TASK_STATES - {TaskState.COMPLETE})
    status = ActivationState.PENDING if running else ActivationState.ERROR if is_bad else ActivationState.COMPLETE
    ended_at = None if running else totals.ended_at
    return {
        "name": ref_id,
        "title": skill_name,
        "type": "skill",
        "status": status.value,
        "elapsed": None if totals.started_at is None else _elapsed(totals.started_at, ended_at),
        "start": milliseconds(totals.started_at),
        "end": milliseconds(ended_at),
    }


def _elapsed(started_at: float, ended_at: float | None) -> int:
    return max(0, round(((time.time() if ended_at is None else ended_at) - started_at) * 1000))

"""Reads what the pods of a daemon say together. Pure: a pod is a dict, as in the cluster's JSON.

The cluster starts a program that has ended again, in the same pod. So the end of a program is the last one that its pod has seen.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fabric_jobs.executors.base import LOST, AttemptExit
from fabric_jobs.executors.kubernetes import pods
from fabric_jobs.executors.kubernetes.pods import PROGRAM, Seen

End = tuple[str, float]  # of a program: the uid of its pod, and when it ended, in seconds since 1970
AGAIN_AND_AGAIN = 2  # starts after an end; then a copy that does not listen is no accident


@dataclass(frozen=True, kw_only=True)
class Copies:
    """What is known of the copies of a daemon."""

    runs: bool = False  # the program of one
    ready: tuple[str, ...] = ()  # the pods that listen
    ended: AttemptExit | None = None  # the last end of a program, while no copy listens
    ended_at: float = 0.0  # seconds since 1970; 0: unknown
    doing: str = ""  # why none runs yet, in the cluster's own words
    pulling: str = ""  # why their image cannot be pulled so far
    refused: str = ""  # why they can never start
    failing: int = 0  # copies that end again and again, beside one that listens
    ends: frozenset[End] = frozenset()  # the last one of each pod


def together(found: Iterable[Mapping[str, Any]], survived: Container[End] = ()) -> Copies:
    """Return what pods say of a program. Those that are being deleted do not count: others take their place.

    Nor do ends that the daemon has survived, since another copy listened then.
    """
    living = [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]
    seen = [pods.seen(pod) for pod in living]
    ends = {
        (str(pod["metadata"]["uid"]), end.ended_at): end
        for pod, now in zip(living, seen, strict=True)
        if (end := _last_end(pod, now)) is not None
    }
    counting = [end for key, end in ends.items() if key not in survived]
    ready = tuple(pod["metadata"]["name"] for pod, now in zip(living, seen, strict=True) if now.ready)
    last = max(counting, key=lambda end: end.ended_at, default=None) if not ready else None
    return Copies(
        runs=any(now.runs for now in seen),
        ready=ready,
        ended=None if last is None else last.ended,
        ended_at=0.0 if last is None else last.ended_at,
        doing=next((now.doing for now in seen if now.doing), ""),
        pulling=next((now.pulling for now in seen if now.pulling), ""),
        refused="" if ready else next((now.refused for now in seen if now.refused), ""),
        failing=sum(starts(pod) >= AGAIN_AND_AGAIN and not now.ready for pod, now in zip(living, seen, strict=True)),
        ends=frozenset(ends),
    )


def starts(pod: Mapping[str, Any]) -> int:
    """Return how often the program of a pod was started again."""
    return int(_status(pod).get("restartCount") or 0)


def ended_last(found: Iterable[Mapping[str, Any]]) -> Seen | None:
    """Return how a program ended that was asked to."""
    ends = [seen for pod in found if (seen := pods.seen(pod, stopped=True)).ended is not None]
    return max(ends, key=lambda seen: seen.ended_at, default=None)


def _last_end(pod: Mapping[str, Any], now: Seen) -> Seen | None:
    """Return how the program of a pod ended last, by itself. A pod that the cluster took away is replaced by another one."""
    if now.ended is None:
        before = _status(pod).get("lastState") or {}
        if "terminated" not in before:
            return None
        status = {**pod["status"], "containerStatuses": [{"name": PROGRAM, "state": before}]}
        now = pods.seen({**pod, "status": status})
    return None if now.ended is None or now.ended.reason == LOST else now


def _status(pod: Mapping[str, Any]) -> Mapping[str, Any]:
    status = pod.get("status") or {}
    return next((each for each in pods.statuses(status) if each["name"] == PROGRAM), {})

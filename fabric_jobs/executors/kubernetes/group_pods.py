"""Reads what a pod of several containers says of its attempt. Pure: a pod is a dict, as in the cluster's JSON."""

from __future__ import annotations

import math
import signal
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from fabric_jobs.executors.base import AttemptExit
from fabric_jobs.executors.kubernetes import pods
from fabric_jobs.executors.kubernetes.pods import PROGRAM, Seen

ENDED = ("Succeeded", "Failed")  # phases
BY_REQUEST = (128 + signal.SIGTERM, 128 + signal.SIGKILL)  # exit codes of a sidecar that was told to end


class End(NamedTuple):
    """The end of the container that was the first to end by itself."""

    container: str
    exit: AttemptExit
    at: float  # seconds since 1970


def seen(pod: Mapping[str, Any], names: Sequence[str], *, stopped: bool = False) -> Seen:
    """Return what a pod says of an attempt whose containers have these names; `stopped`: it was deleted on our behalf.

    It runs when all of them run. It has ended when one of them has ended by itself; the others may still run.
    """
    end = first_end(pod, names, stopped=stopped)
    deleting = "deletionTimestamp" in pod["metadata"]
    if end is not None:
        return Seen(ended=end.exit, ended_at=end.at, deleting=deleting)
    all_seen = [pods.seen(pod, container=name, stopped=stopped) for name in names]
    missing = [each for each in all_seen if not each.runs]
    if not missing:
        return Seen(runs=True, ready=all(each.ready for each in all_seen), deleting=deleting)
    hopeless = [each for each in missing if each.refused or each.pulling]
    return (hopeless or missing)[0]


def first_end(pod: Mapping[str, Any], names: Sequence[str], *, stopped: bool = False) -> End | None:
    """Return how the first one ended that has ended by itself; None while all run."""
    found = [(_when(name, end), name, end) for name in names if (end := _end_of(pod, name)) is not None]
    if not found:
        return None
    _, name, end = min(found, key=lambda each: each[0])
    only = {"containerStatuses": [{"name": name, "state": {"terminated": end}}], "initContainerStatuses": []}
    told = pods.seen({**pod, "status": {**(pod.get("status") or {}), **only}}, container=name, stopped=stopped)
    assert told.ended is not None, "it is terminated"
    return End(name, told.ended, told.ended_at)


def is_over(pod: Mapping[str, Any], names: Sequence[str]) -> bool:
    """Return whether no container runs, or will run."""
    if (pod.get("status") or {}).get("phase") in ENDED:
        return True
    return all(has_ended(pod, name) for name in names)


def has_begun(pod: Mapping[str, Any], name: str) -> bool:
    """Return whether a container runs or has run, so that it may have printed something."""
    state = _status(pod, name).get("state") or {}
    ended = state.get("terminated") or {}
    return "running" in state or ("terminated" in state and ended.get("reason") not in pods.NO_START)


def has_ended(pod: Mapping[str, Any], name: str) -> bool:
    """Return whether a container runs no more."""
    return "terminated" in (_status(pod, name).get("state") or {})


def _end_of(pod: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    """Return the first end of a container: a sidecar may have been started again."""
    found = _status(pod, name)
    for key in ("lastState", "state"):
        ended: Mapping[str, Any] | None = (found.get(key) or {}).get("terminated")
        if ended is not None:
            return ended
    return None


def _when(name: str, end: Mapping[str, Any]) -> tuple[float, int]:
    """Return what sorts ends. They have whole seconds: of two in one second a sidecar that was told to end is the later one."""
    at = pods.seconds(str(end.get("finishedAt") or "")) or math.inf
    told = name == PROGRAM and int(end.get("exitCode", 0)) in BY_REQUEST
    return at, 2 if told else 0 if name == PROGRAM else 1


def _status(pod: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return next((each for each in pods.statuses(pod.get("status") or {}) if each["name"] == name), {})

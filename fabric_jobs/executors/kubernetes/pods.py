"""Reads what a pod says of its program. Pure: a pod is a dict, as in the cluster's JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fabric_jobs.executors.base import LOST, NOT_STARTED, OUT_OF_MEMORY, AttemptExit

STARTING = "starting"  # without anything that its status says of it
PROGRAM = "program"  # the container whose end is the attempt's
NOT_RUN = 125  # exit code of what could not be started, as of `docker run`
# The runtime knows no exit code, or the one that it says is not the program's.
UNKNOWN = frozenset({"ContainerStatusUnknown", "Unknown"})
NO_START = frozenset({"StartError", "ContainerCannotRun"})
PULLING = frozenset({"ErrImagePull", "ImagePullBackOff", "RegistryUnavailable", "SignatureValidationFailed"})
HOPELESS = frozenset({"InvalidImageName", "ErrImageNeverPull"})
QUIET = frozenset({"", "ContainerCreating", "PodInitializing"})
TAKEN = frozenset({"Evicted", "Preempting", "NodeLost", "NodeShutdown", "Terminated", "NodeAffinity"})
DELETED = "its pod was deleted by somebody else"


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What is known of the program of a pod."""

    runs: bool = False
    ready: bool = False
    ended: AttemptExit | None = None
    ended_at: float = 0.0  # seconds since 1970; 0: unknown
    doing: str = ""  # why it does not run yet, in the cluster's own words
    pulling: str = ""  # why its image cannot be pulled so far
    refused: str = ""  # why it can never start
    waits: bool = False  # for the cluster, such as for a node or an image
    deleting: bool = False  # somebody has deleted it
    starts: int = 0  # how often the program was started again in this pod


def seen(pod: Mapping[str, Any], *, container: str = PROGRAM, stopped: bool = False) -> Seen:
    """Return what a pod says of a container; `stopped`: it was deleted on our behalf."""
    status = pod.get("status") or {}
    deleting = "deletionTimestamp" in pod["metadata"]
    found = next((each for each in statuses(status) if each["name"] == container), None)
    state = (found or {}).get("state") or {}
    if "terminated" in state:
        return _ended(state["terminated"], pod, deleting=deleting, stopped=stopped)
    if status.get("phase") == "Failed":  # before its container was ever made, or with its node
        return Seen(ended=_failed(pod, stopped=stopped), deleting=deleting)
    if "running" in state:
        starts = int((found or {}).get("restartCount") or 0)
        return Seen(runs=True, ready=bool((found or {}).get("ready")), deleting=deleting, starts=starts)
    return _waiting(pod, state.get("waiting") or {}, deleting=deleting)


def statuses(status: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the statuses of all containers of a pod."""
    for key in ("initContainerStatuses", "containerStatuses"):
        yield from status.get(key) or ()


def address(pod: Mapping[str, Any]) -> str:
    """Return the address of a pod; empty while it has none."""
    return str((pod.get("status") or {}).get("podIP") or "")


def taken_away(pod: Mapping[str, Any], code: int, at: float) -> str:
    """Return why a program ended if somebody else took its pod away: an eviction, a preemption, a lost node, a deletion.

    Empty: it ended by itself. Many programs exit with 0 when they are told to end, so 0 is the program's own only before that.
    Another code is never taken for its own, since the clocks of nodes differ. `at` is in seconds since 1970; 0: unknown.
    """
    why, since = _disruption(pod)
    return why if code or not at or since <= at else ""


def _disruption(pod: Mapping[str, Any]) -> tuple[str, float]:
    """Return why a pod was taken away, and when that began, in seconds since 1970 (0: unknown); no reason if it was not."""
    status, metadata = pod.get("status") or {}, pod["metadata"]
    for condition in status.get("conditions") or ():
        if condition.get("type") == "DisruptionTarget" and condition.get("status") == "True":
            why = str(condition.get("message") or condition.get("reason") or "it was disrupted")
            return why, seconds(str(condition.get("lastTransitionTime") or ""))
    if status.get("reason") in TAKEN:
        return _words(status["reason"], status.get("message")), 0.0
    if "deletionTimestamp" in metadata:  # it says when the pod would be killed
        until = seconds(str(metadata["deletionTimestamp"]))
        return DELETED, until - int(metadata.get("deletionGracePeriodSeconds") or 0)
    return "", 0.0


def _ended(ended: Mapping[str, Any], pod: Mapping[str, Any], *, deleting: bool, stopped: bool) -> Seen:
    code, reason, words = ended.get("exitCode"), str(ended.get("reason") or ""), str(ended.get("message") or "")
    at = seconds(str(ended.get("finishedAt") or ""))
    if reason in UNKNOWN or code is None:
        exit_ = AttemptExit(None, LOST, words or "its node does not know how it ended")
    elif not stopped and (why := taken_away(pod, code, at)):
        exit_ = AttemptExit(None, LOST, why)
    elif reason in NO_START:
        exit_ = AttemptExit(NOT_RUN, NOT_STARTED, words or reason)
    else:
        exit_ = AttemptExit(code, OUT_OF_MEMORY if code and reason == "OOMKilled" else "")
    return Seen(ended=exit_, ended_at=at, deleting=deleting)


def _failed(pod: Mapping[str, Any], *, stopped: bool) -> AttemptExit:
    """Return how a program ended whose pod failed before it, such as in an init container of a `podSpec`."""
    status = pod.get("status") or {}
    why = _disruption(pod)[0]
    failed = None if why or stopped or status.get("reason") else next(_failed_before(pod), None)
    if failed is not None:
        name, ended = failed
        words = _words(ended.get("reason") or "Error", ended.get("message"))
        said = f"init container '{name}' ended with exit code {ended['exitCode']} ({words})"
        return AttemptExit(ended["exitCode"], NOT_STARTED, said)
    return AttemptExit(None, LOST, why or _words(status.get("reason") or "Failed", status.get("message")))


def _failed_before(pod: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield name and end of each init container that failed. Sidecars run beside the program, and end after it."""
    found = (pod.get("spec") or {}).get("initContainers") or ()
    sidecars = {PROGRAM, *(each["name"] for each in found if each.get("restartPolicy") == "Always")}
    for each in (pod.get("status") or {}).get("initContainerStatuses") or ():
        ended = (each.get("state") or {}).get("terminated") or {}
        if each["name"] not in sidecars and ended.get("exitCode") and ended.get("reason") not in UNKNOWN:
            yield each["name"], ended


def _waiting(pod: Mapping[str, Any], waiting: Mapping[str, Any], *, deleting: bool) -> Seen:
    """Return what a program waits for: its own container, one that comes first, or a node."""
    status = pod.get("status") or {}
    first = [each for each in status.get("initContainerStatuses") or () if each["name"] != PROGRAM]
    states = [(f"init container '{each['name']}': ", (each.get("state") or {}).get("waiting") or {}) for each in first]
    for whose, state in (("", waiting), *states):
        reason = str(state.get("reason") or "")
        words = f"{whose}{_words(reason, state.get('message'))}"
        if reason in HOPELESS:
            return Seen(refused=words, deleting=deleting)
        if reason not in QUIET:
            return Seen(doing=words, pulling=words if reason in PULLING else "", waits=True, deleting=deleting)
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            text = str(condition.get("message") or condition.get("reason") or "not scheduled")
            return Seen(doing=f"waiting for a node: {text}", waits=True, deleting=deleting)
    return Seen(doing=STARTING, waits=True, deleting=deleting)


def _words(reason: object, message: object) -> str:
    return f"{reason}: {message}" if message else str(reason)


def seconds(text: str) -> float:
    """Return the time of an RFC 3339 text in seconds since 1970; 0 for any other text."""
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except ValueError:
        return 0.0

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
UNKNOWN = frozenset({"ContainerStatusUnknown"})
NO_START = frozenset({"StartError", "ContainerCannotRun"})
PULLING = frozenset({"ErrImagePull", "ImagePullBackOff", "RegistryUnavailable", "SignatureValidationFailed"})
HOPELESS = frozenset({"InvalidImageName", "ErrImageNeverPull"})
CONFIGURED = frozenset(
    {"CreateContainerConfigError", "CreateContainerError", "RunContainerError", "CreatePodSandboxError"}
)
QUIET = frozenset({"", "ContainerCreating", "PodInitializing"})


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
        return Seen(ended=_failed(status), deleting=deleting)
    if "running" in state:
        starts = int((found or {}).get("restartCount") or 0)
        return Seen(runs=True, ready=bool((found or {}).get("ready")), deleting=deleting, starts=starts)
    return _waiting(status, state.get("waiting") or {}, deleting=deleting)


def statuses(status: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the statuses of all containers of a pod."""
    for key in ("initContainerStatuses", "containerStatuses"):
        yield from status.get(key) or ()


def address(pod: Mapping[str, Any]) -> str:
    """Return the address of a pod; empty while it has none."""
    return str((pod.get("status") or {}).get("podIP") or "")


def disruption(status: Mapping[str, Any]) -> str:
    """Return why the cluster took a pod away: an eviction, a preemption, a lost node; empty when it did not."""
    for condition in status.get("conditions") or ():
        if condition.get("type") == "DisruptionTarget" and condition.get("status") == "True":
            return str(condition.get("message") or condition.get("reason") or "it was disrupted")
    if status.get("reason") in ("Evicted", "Preempting", "NodeLost", "NodeShutdown", "Terminated", "NodeAffinity"):
        return f"{status['reason']}: {status.get('message') or ''}".rstrip(": ")
    return ""


def _ended(ended: Mapping[str, Any], pod: Mapping[str, Any], *, deleting: bool, stopped: bool) -> Seen:
    code, reason = int(ended.get("exitCode", 0)), str(ended.get("reason") or "")
    status = pod.get("status") or {}
    at = seconds(str(ended.get("finishedAt") or ""))
    if reason in UNKNOWN:
        exit_ = AttemptExit(None, LOST, str(ended.get("message") or reason))
    elif reason in NO_START:
        exit_ = AttemptExit(NOT_RUN, NOT_STARTED, str(ended.get("message") or reason))
    elif code and (why := disruption(status)):
        exit_ = AttemptExit(None, LOST, why)
    elif code and deleting and not stopped:
        exit_ = AttemptExit(None, LOST, "its pod was deleted by somebody else")
    else:
        exit_ = AttemptExit(code, OUT_OF_MEMORY if code and reason == "OOMKilled" else "")
    return Seen(ended=exit_, ended_at=at, deleting=deleting)


def _failed(status: Mapping[str, Any]) -> AttemptExit:
    words = f"{status.get('reason') or 'Failed'}: {status.get('message') or ''}".rstrip(": ")
    return AttemptExit(None, LOST, disruption(status) or words)


def _waiting(status: Mapping[str, Any], waiting: Mapping[str, Any], *, deleting: bool) -> Seen:
    reason, message = str(waiting.get("reason") or ""), str(waiting.get("message") or "")
    words = f"{reason}: {message}" if message else reason
    if reason in HOPELESS:
        return Seen(refused=words, deleting=deleting)
    if reason in PULLING:
        return Seen(doing=words, pulling=words, waits=True, deleting=deleting)
    if reason in CONFIGURED:
        return Seen(doing=words, waits=True, deleting=deleting)
    if reason not in QUIET:
        return Seen(doing=words, waits=True, deleting=deleting)
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            text = str(condition.get("message") or condition.get("reason") or "not scheduled")
            return Seen(doing=f"waiting for a node: {text}", waits=True, deleting=deleting)
    return Seen(doing=STARTING, waits=True, deleting=deleting)


def seconds(text: str) -> float:
    """Return the time of an RFC 3339 text in seconds since 1970; 0 for any other text."""
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except ValueError:
        return 0.0

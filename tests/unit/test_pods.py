"""What a pod's status says of its program; the statuses are a cluster's own, shortened."""

from __future__ import annotations

from typing import Any

import pytest

from fabric_jobs.executors.base import LOST, NOT_STARTED, OUT_OF_MEMORY, AttemptExit
from fabric_jobs.executors.kubernetes.pods import Seen, address, seconds, seen

AT = "2026-03-01T12:00:00Z"


def pod(state: dict[str, Any] | None = None, *, deleted: bool = False, **status: Any) -> dict[str, Any]:
    found = [{"name": "program", "restartCount": 0, "ready": "running" in state, "state": state}] if state else []
    metadata = {"name": "p", **({"deletionTimestamp": AT} if deleted else {})}
    return {"metadata": metadata, "status": {"phase": "Pending", "containerStatuses": found, **status}}


def terminated(code: int, reason: str = "Error", message: str = "") -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason, "message": message, "finishedAt": AT}}


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"waiting": {"reason": reason, "message": message}}


DISRUPTED = [{"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI", "message": "evicting"}]


@pytest.mark.parametrize(
    ("what", "ended"),
    [
        (pod(terminated(0, "Completed")), AttemptExit(0)),
        (pod(terminated(7)), AttemptExit(7)),
        (pod(terminated(137, "OOMKilled")), AttemptExit(137, OUT_OF_MEMORY)),
        (pod(terminated(3, "OOMKilled")), AttemptExit(3, OUT_OF_MEMORY)),
        (pod(terminated(0, "OOMKilled")), AttemptExit(0)),  # a child of the program was killed, and it went well
        (pod(terminated(137, "ContainerStatusUnknown", "gone")), AttemptExit(None, LOST, "gone")),
        (pod(terminated(128, "StartError", "no such file")), AttemptExit(125, NOT_STARTED, "no such file")),
        (pod(terminated(143), conditions=DISRUPTED), AttemptExit(None, LOST, "evicting")),
        (pod(terminated(0, "Completed"), conditions=DISRUPTED), AttemptExit(0)),
        (pod(terminated(143), deleted=True), AttemptExit(None, LOST, "its pod was deleted by somebody else")),
        (pod(terminated(0, "Completed"), deleted=True), AttemptExit(0)),
        (
            pod(phase="Failed", reason="Evicted", message="The node was low on resource: memory."),
            AttemptExit(None, LOST, "Evicted: The node was low on resource: memory."),
        ),
        (pod(phase="Failed", reason="UnexpectedAdmissionError"), AttemptExit(None, LOST, "UnexpectedAdmissionError")),
    ],
)
def test_ends(what: dict[str, Any], ended: AttemptExit) -> None:
    assert seen(what).ended == ended


def test_a_pod_that_we_have_deleted_is_not_lost() -> None:
    assert seen(pod(terminated(143), deleted=True), stopped=True).ended == AttemptExit(143)


def test_the_time_of_an_end() -> None:
    assert seen(pod(terminated(0))).ended_at == seconds(AT) == 1772366400.0
    assert seconds("") == seconds("nonsense") == 0.0


@pytest.mark.parametrize(
    ("what", "doing"),
    [
        (pod(), "starting"),
        (pod(waiting("ContainerCreating")), "starting"),
        (
            pod(conditions=[{"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available"}]),
            "waiting for a node: 0/1 nodes are available",
        ),
        (
            pod(waiting("CreateContainerConfigError", 'secret "x" not found')),
            'CreateContainerConfigError: secret "x" not found',
        ),
        (pod(waiting("CrashLoopBackOff")), "CrashLoopBackOff"),
    ],
)
def test_why_it_does_not_run_yet(what: dict[str, Any], doing: str) -> None:
    assert seen(what) == Seen(doing=doing, waits=True)


def test_images() -> None:
    assert seen(pod(waiting("ErrImagePull", "not found"))).pulling == "ErrImagePull: not found"
    assert seen(pod(waiting("ImagePullBackOff", "Back-off"))).pulling == "ImagePullBackOff: Back-off"
    assert seen(pod(waiting("InvalidImageName", "wrong"))).refused == "InvalidImageName: wrong"


def test_a_program_that_runs() -> None:
    found = pod({"running": {"startedAt": AT}}, phase="Running", podIP="10.0.0.1")
    assert seen(found) == Seen(runs=True, ready=True)
    assert address(found) == "10.0.0.1"
    assert address(pod()) == ""

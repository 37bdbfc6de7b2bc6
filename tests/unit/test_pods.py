"""What a pod's status says of its program; the statuses are a cluster's own, shortened."""

from __future__ import annotations

from typing import Any

import pytest

from fabric_jobs.executors.base import LOST, NOT_STARTED, OUT_OF_MEMORY, AttemptExit
from fabric_jobs.executors.kubernetes.pods import Seen, address, seconds, seen

AT, BEFORE, AFTER = "2026-03-01T12:00:00Z", "2026-03-01T11:59:59Z", "2026-03-01T12:00:01Z"
TAKEN = AttemptExit(None, LOST, "evicting")
DELETED = AttemptExit(None, LOST, "its pod was deleted by somebody else")


def pod(state: dict[str, Any] | None = None, *, deleted: str = "", **status: Any) -> dict[str, Any]:
    """Return a pod that somebody has deleted at a time, with a grace period of no time."""
    found = [{"name": "program", "restartCount": 0, "ready": "running" in state, "state": state}] if state else []
    metadata = {"name": "p", **({"deletionTimestamp": deleted, "deletionGracePeriodSeconds": 0} if deleted else {})}
    return {"metadata": metadata, "status": {"phase": "Pending", "containerStatuses": found, **status}}


def terminated(code: int, reason: str = "Error", message: str = "") -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason, "message": message, "finishedAt": AT}}


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"waiting": {"reason": reason, "message": message}}


def disrupted(at: str) -> list[dict[str, Any]]:
    found = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI", "message": "evicting"}
    return [{**found, "lastTransitionTime": at}]


def init(name: str, state: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "state": state}


@pytest.mark.parametrize(
    ("what", "ended"),
    [
        (pod(terminated(0, "Completed")), AttemptExit(0)),
        (pod(terminated(7)), AttemptExit(7)),
        (pod(terminated(137, "OOMKilled")), AttemptExit(137, OUT_OF_MEMORY)),
        (pod(terminated(3, "OOMKilled")), AttemptExit(3, OUT_OF_MEMORY)),
        (pod(terminated(0, "OOMKilled")), AttemptExit(0)),  # a child of the program was killed, and it went well
        (pod(terminated(137, "ContainerStatusUnknown", "gone")), AttemptExit(None, LOST, "gone")),
        (pod(terminated(255, "Unknown")), AttemptExit(None, LOST, "its node does not know how it ended")),
        (pod({"terminated": {}}), AttemptExit(None, LOST, "its node does not know how it ended")),
        (pod(terminated(255)), AttemptExit(255)),
        (pod(terminated(128, "StartError", "no such file")), AttemptExit(125, NOT_STARTED, "no such file")),
        (pod(terminated(143), conditions=disrupted(BEFORE)), TAKEN),
        (pod(terminated(143), conditions=disrupted(AFTER)), TAKEN),  # the clocks of a node and of the cluster differ
        (pod(terminated(0, "Completed"), conditions=disrupted(BEFORE)), TAKEN),
        (pod(terminated(0, "Completed"), conditions=disrupted(AT)), TAKEN),
        (pod(terminated(0, "Completed"), conditions=disrupted(AFTER)), AttemptExit(0)),
        (
            pod(terminated(0, "Completed"), phase="Failed", reason="Terminated", message="the node shuts down"),
            AttemptExit(None, LOST, "Terminated: the node shuts down"),
        ),
        (pod(terminated(143), deleted=AFTER), DELETED),
        (pod(terminated(0, "Completed"), deleted=BEFORE), DELETED),
        (pod(terminated(0, "Completed"), deleted=AFTER), AttemptExit(0)),
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
    assert seen(pod(terminated(143), deleted=BEFORE), stopped=True).ended == AttemptExit(143)
    assert seen(pod(terminated(0), deleted=BEFORE), stopped=True).ended == AttemptExit(0)


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


# Init containers


def test_an_init_container_that_fails_is_named() -> None:
    states = [init("first", terminated(0, "Completed")), init("fetch", terminated(3, "Error", "no bucket"))]
    found = seen(pod(waiting("PodInitializing"), phase="Failed", initContainerStatuses=states))
    said = "init container 'fetch' ended with exit code 3 (Error: no bucket)"
    assert found.ended == AttemptExit(3, NOT_STARTED, said)


def test_the_end_of_a_sidecar_is_no_failure() -> None:
    found = pod(phase="Failed", initContainerStatuses=[init("proxy", terminated(143))])
    found["spec"] = {"initContainers": [{"name": "proxy", "restartPolicy": "Always"}]}
    assert seen(found).ended == AttemptExit(None, LOST, "Failed")


def test_an_init_container_that_the_cluster_ends_has_not_failed() -> None:
    states = [init("fetch", terminated(143))]
    failed: dict[str, Any] = {"phase": "Failed", "initContainerStatuses": states}
    assert seen(pod(conditions=disrupted(BEFORE), **failed)).ended == TAKEN
    assert seen(pod(deleted=BEFORE, **failed)).ended == DELETED
    assert seen(pod(reason="DeadlineExceeded", **failed)).ended == AttemptExit(None, LOST, "DeadlineExceeded")


def test_an_image_of_an_init_container_is_waited_for_in_the_same_way() -> None:
    def of(state: dict[str, Any]) -> Seen:
        return seen(pod(waiting("PodInitializing"), initContainerStatuses=[init("fetch", state)]))

    words = "init container 'fetch': ImagePullBackOff: Back-off"
    assert of(waiting("ImagePullBackOff", "Back-off")) == Seen(doing=words, pulling=words, waits=True)
    assert of(waiting("InvalidImageName", "wrong")).refused == "init container 'fetch': InvalidImageName: wrong"
    assert of(waiting("CrashLoopBackOff", "again")).doing == "init container 'fetch': CrashLoopBackOff: again"
    assert of({"running": {"startedAt": AT}}) == Seen(doing="starting", waits=True)


def test_a_program_that_runs() -> None:
    found = pod({"running": {"startedAt": AT}}, phase="Running", podIP="10.0.0.1")
    assert seen(found) == Seen(runs=True, ready=True)
    assert address(found) == "10.0.0.1"
    assert address(pod()) == ""

"""What a pod of several containers says of its attempt."""

from __future__ import annotations

from typing import Any

import pytest

from fabric_jobs.executors.base import LOST, NOT_STARTED, OUT_OF_MEMORY, AttemptExit
from fabric_jobs.executors.kubernetes import group_pods
from fabric_jobs.executors.kubernetes.pods import DELETED, seconds

NAMES = ("program", "api", "other")
RUNS = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}


def at(second: int) -> str:
    return f"2026-01-01T00:00:{second:02}Z"


def ended(code: int, second: int, reason: str = "Error") -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason, "finishedAt": at(second), "message": "why"}}


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"waiting": {"reason": reason, "message": message}}


def pod(program: dict[str, Any], *others: dict[str, Any], last: dict[str, Any] | None = None, **more: Any) -> Any:
    """Return a pod whose containers are in these states; `last` is the sidecar's state before."""
    sidecar = {"name": "program", "state": program, "lastState": last or {}, "ready": True}
    found = [{"name": name, "state": state, "ready": True} for name, state in zip(NAMES[1:], others, strict=True)]
    status = {"initContainerStatuses": [sidecar], "containerStatuses": found, **more.pop("status", {})}
    return {"metadata": {"name": "p", **more}, "status": status}


def test_it_runs_when_all_run() -> None:
    found = group_pods.seen(pod(RUNS, RUNS, RUNS), NAMES)
    assert (found.runs, found.ready, found.ended) == (True, True, None)
    found = group_pods.seen(pod(RUNS, RUNS, waiting("ContainerCreating")), NAMES)
    assert (found.runs, found.doing, found.waits) == (False, "starting", True)


def test_the_one_that_cannot_be_pulled_is_told_before_those_that_wait_for_it() -> None:
    found = group_pods.seen(pod(RUNS, waiting("PodInitializing"), waiting("ErrImagePull", "no such image")), NAMES)
    assert found.pulling == "ErrImagePull: no such image"
    found = group_pods.seen(pod(RUNS, waiting("PodInitializing"), waiting("InvalidImageName", "No Image")), NAMES)
    assert found.refused == "InvalidImageName: No Image"


@pytest.mark.parametrize("code", [0, 3])
def test_the_first_end_counts(code: int) -> None:
    found = group_pods.first_end(pod(RUNS, ended(1, 9), ended(code, 8)), NAMES)
    assert found == ("other", AttemptExit(code), seconds(at(8)))
    assert group_pods.seen(pod(RUNS, RUNS, ended(code, 8)), NAMES).ended == AttemptExit(code)


def test_a_worker_that_the_cluster_has_started_again_has_ended() -> None:
    again = pod(RUNS, RUNS, RUNS, last=ended(0, 5))
    assert group_pods.first_end(again, NAMES) == ("program", AttemptExit(0), seconds(at(5)))
    over = pod(ended(143, 8), ended(143, 7), ended(143, 7), last=ended(4, 5))
    assert group_pods.first_end(over, NAMES) == ("program", AttemptExit(4), seconds(at(5)))


@pytest.mark.parametrize(
    ("worker", "first"),
    [(143, "api"), (137, "api"), (0, "program"), (1, "program")],
)
def test_of_two_ends_in_one_second_that_of_a_worker_that_was_told_to_end_is_the_later(worker: int, first: str) -> None:
    found = group_pods.first_end(pod(ended(worker, 5), ended(9, 5), RUNS), NAMES)
    assert found is not None
    assert found.container == first


def test_reasons_are_those_of_one_container() -> None:
    def exit_of(state: dict[str, Any], **more: Any) -> AttemptExit | None:
        return group_pods.seen(pod(RUNS, state, RUNS, **more), NAMES).ended

    assert exit_of(ended(137, 5, "OOMKilled")) == AttemptExit(137, OUT_OF_MEMORY)
    assert exit_of(ended(128, 5, "StartError")) == AttemptExit(125, NOT_STARTED, "why")
    disrupted = {"conditions": [{"type": "DisruptionTarget", "status": "True", "message": "a taint"}]}
    assert exit_of(ended(137, 5), status=disrupted) == AttemptExit(None, LOST, "a taint")


def test_a_worker_that_cannot_be_started_has_ended() -> None:
    crashing = pod(waiting("CrashLoopBackOff"), waiting("PodInitializing"), waiting("PodInitializing"))
    crashing["status"]["initContainerStatuses"][0]["lastState"] = ended(128, 5, "StartError")
    assert group_pods.seen(crashing, NAMES).ended == AttemptExit(125, NOT_STARTED, "why")
    assert not group_pods.has_begun(crashing, "program")


@pytest.mark.parametrize("code", [0, 143])
def test_what_ended_since_somebody_deleted_the_pod_is_lost(code: int) -> None:
    deleted: dict[str, Any] = {"deletionTimestamp": at(35), "deletionGracePeriodSeconds": 30}
    gone = AttemptExit(None, LOST, DELETED)
    assert group_pods.seen(pod(RUNS, ended(code, 5), RUNS, **deleted), NAMES).ended == gone
    assert group_pods.seen(pod(RUNS, ended(code, 5), RUNS, **deleted), NAMES, stopped=True).ended == AttemptExit(code)
    assert group_pods.seen(pod(RUNS, ended(0, 4), RUNS, **deleted), NAMES).ended == AttemptExit(0)


def test_what_ended_since_the_cluster_took_the_pod_away_is_lost() -> None:
    condition = {"type": "DisruptionTarget", "status": "True", "message": "a taint", "lastTransitionTime": at(5)}
    status = {"conditions": [condition]}
    taken = AttemptExit(None, LOST, "a taint")
    assert group_pods.seen(pod(RUNS, ended(0, 5), RUNS, status=status), NAMES).ended == taken
    assert group_pods.seen(pod(RUNS, ended(0, 4), RUNS, status=status), NAMES).ended == AttemptExit(0)


def test_a_pod_that_failed_before_its_containers_began_is_lost() -> None:
    failed = {"phase": "Failed", "reason": "Evicted", "message": "the node was low on memory"}
    found = group_pods.seen(pod({}, {}, {}, status=failed), NAMES)
    assert found.ended == AttemptExit(None, LOST, "Evicted: the node was low on memory")


def test_it_is_over_when_nothing_runs() -> None:
    assert not group_pods.is_over(pod(RUNS, ended(0, 1), ended(0, 1)), NAMES)
    assert group_pods.is_over(pod(ended(143, 2), ended(0, 1), ended(0, 1)), NAMES)
    assert group_pods.is_over(pod(RUNS, waiting("PodInitializing"), {}, status={"phase": "Failed"}), NAMES)


def test_others_that_somebody_has_added_do_not_count() -> None:
    found = pod(RUNS, RUNS, RUNS)
    found["status"]["containerStatuses"].append({"name": "istio-proxy", "state": ended(1, 3)})
    assert group_pods.seen(found, NAMES).runs

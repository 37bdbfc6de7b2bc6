"""What the pods of a daemon say together."""

from __future__ import annotations

from typing import Any

import pytest

from fabric_jobs.executors.base import NOT_STARTED, OUT_OF_MEMORY, AttemptExit
from fabric_jobs.executors.kubernetes.copies import ended_last, together

RUNNING: dict[str, Any] = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
CRASHED = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}


def ended(code: int, at: int = 1, reason: str = "Error") -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason, "finishedAt": f"2026-01-01T00:00:0{at}Z"}}


def pod(state: dict[str, Any], *, ready: bool = False, before: dict[str, Any] | None = None, **more: Any) -> Any:
    status = {
        "name": "program",
        "state": state,
        "lastState": before or {},
        "ready": ready,
        "restartCount": more.pop("starts", 1 if before else 0),
    }
    return {
        "metadata": {"name": (name := more.pop("name", "a")), "uid": f"uid of {name}", **more.pop("metadata", {})},
        "status": {"phase": "Running", "containerStatuses": [status], **more},
    }


def test_the_pods_that_listen_are_ready() -> None:
    found = together([pod(RUNNING, name="a"), pod(RUNNING, ready=True, name="b")])
    assert (found.runs, found.ready, found.ended) == (True, ("b",), None)


@pytest.mark.parametrize(
    "seen",
    [
        pod(ended(3)),
        pod(CRASHED, before=ended(3)),
        pod(RUNNING, before=ended(3)),  # the cluster has started it again
    ],
)
def test_a_program_that_has_ended_ends_its_daemon(seen: dict[str, Any]) -> None:
    found = together([seen])
    assert found.ended == AttemptExit(3)
    assert found.ended_at == 1767225601.0


def test_the_end_of_one_copy_is_no_end_while_another_one_listens() -> None:
    found = together([pod(CRASHED, before=ended(3)), pod(RUNNING, ready=True)])
    assert (found.ended, found.failing) == (None, 0)
    again = together([pod(CRASHED, before=ended(3), starts=2), pod(RUNNING, ready=True)])
    assert (again.ended, again.failing) == (None, 1)


def test_of_several_ends_the_last_one_counts() -> None:
    three = [pod(ended(code, at=at), name=name) for name, code, at in (("a", 3, 2), ("b", 4, 5), ("c", 5, 1))]
    assert together(three).ended == AttemptExit(4)


def test_an_end_that_the_daemon_has_survived_does_not_end_it_later() -> None:
    crashed = pod(RUNNING, ready=True, before=ended(3, at=1), name="a")
    survived = together([crashed, pod(RUNNING, ready=True, name="b")]).ends
    unready = pod(RUNNING, before=ended(3, at=1), name="a")  # both are slow for a moment
    assert together([unready, pod(RUNNING, name="b")], survived).ended is None
    assert together([pod(ended(4, at=5), before=ended(3, at=1), name="a")], survived).ended == AttemptExit(4)
    assert together([unready, pod(ended(5, at=1), name="b")], survived).ended == AttemptExit(5)
    assert together([unready]).ended == AttemptExit(3)


def test_a_copy_that_is_down_while_another_one_listens_is_no_end_once_that_one_is_slow() -> None:
    down = pod(CRASHED, before=ended(3, at=1), name="a")
    survived = together([down, pod(RUNNING, ready=True, name="b")]).ends
    assert together([down, pod(RUNNING, name="b")], survived).ended is None


def test_how_a_program_ended_is_told_apart() -> None:
    assert together([pod(CRASHED, before=ended(137, reason="OOMKilled"))]).ended == AttemptExit(137, OUT_OF_MEMORY)
    missing = together([pod(CRASHED, before=ended(128, reason="StartError"))]).ended
    assert missing is not None
    assert missing.reason == NOT_STARTED


def test_a_pod_that_the_cluster_takes_away_is_no_end() -> None:
    seen = pod(ended(143))
    taken = {"conditions": [{"type": "DisruptionTarget", "status": "True", "message": "evicted"}]}
    assert together([{**seen, "status": {**seen["status"], **taken}}]).ended is None
    assert together([pod(ended(143), metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"})]).ended is None
    assert together([]).ended is None


def test_why_nothing_runs_is_said_in_the_words_of_the_cluster() -> None:
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
    found = together([pod(waiting)])
    assert (found.runs, found.pulling) == (False, "ImagePullBackOff: no such image")
    hopeless = {"waiting": {"reason": "InvalidImageName", "message": "a b"}}
    assert together([pod(hopeless)]).refused == "InvalidImageName: a b"
    assert together([pod(hopeless), pod(RUNNING, ready=True)]).refused == ""


def test_a_program_that_was_asked_to_end_has_the_code_that_it_ended_with() -> None:
    gone = {"deletionTimestamp": "2026-01-01T00:00:00Z"}
    seen = ended_last([pod(ended(9), metadata=gone)])
    assert seen is not None
    assert seen.ended == AttemptExit(9)
    assert ended_last([pod(RUNNING, metadata=gone)]) is None

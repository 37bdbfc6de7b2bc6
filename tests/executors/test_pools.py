"""Pools of warm pods: what the pods of a pool are told, and what their reports mean. The test plays the pods."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fabric_jobs.errors import StaleAttempt
from fabric_jobs.executors.attempt_files import shipped
from fabric_jobs.executors.base import LOST, OUT_OF_MEMORY, STOPPED, AttemptExit
from fabric_jobs.executors.kubernetes.pool_manifest import POOL
from fabric_jobs.executors.kubernetes.salvage import CUT
from tests.acceptance.live import until
from tests.executors.contract import ended
from tests.executors.pool_place import JOB, Place, name_of, spec
from tests.executors.pool_place import place as place

# Orders


def test_an_attempt_is_given_to_a_pod_and_ends_with_its_report(place: Place) -> None:
    handle = place.start()
    order = place.take().result(30)["order"]
    assert order["words"] == ["python3", "main.py", "message of a-1"]
    assert order["environment"] == {"CORTEX_TOKEN": "token of a-1", "FABRIC_JOBS_ATTEMPT": "a-1"}
    assert (order["token"], order["attempt"]) == ("token of a-1", "a-1")
    assert place.executor.poll(handle) is None
    place.end("a-1", 3)
    assert place.executor.poll(handle) == AttemptExit(3)
    assert place.executor.changed() == (handle,)


def test_the_end_is_recorded_before_it_is_answered(place: Place) -> None:
    handle = place.start()
    place.take().result(30)
    place.end("a-1", 5)
    assert json.loads((Path(handle) / "exit").read_text())["code"] == 5


def test_an_end_whose_output_has_not_arrived_is_remarked(place: Place) -> None:
    for name, remarks in (("a-1", (CUT,)), ("a-2", ())):
        handle = place.start(name)
        place.take().result(30)
        if not remarks:
            shipped.finish(Path(handle))
        place.end(name)
        assert place.executor.note(handle).remarks == remarks


def test_a_pod_takes_attempts_one_after_the_other(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FABRIC_JOBS_KUBERNETES_POOL_PODS", "1")
    for number in (1, 2, 3):
        place.start(f"a-{number}")
    given = []
    for _ in range(3):
        given.append(name_of(place.take()))
        place.end(given[-1])
    assert sorted(given) == ["a-1", "a-2", "a-3"]
    assert len(place.pods()) == 1


def test_a_call_that_is_open_gets_the_next_attempt_once_the_one_before_is_reported(place: Place) -> None:
    place.start("a-1")
    assert name_of(place.take()) == "a-1"
    said = place.take("a-1")
    place.end("a-1")
    place.start("a-2")
    assert name_of(said) == "a-2"


def test_an_attempt_that_a_pod_never_heard_of_is_given_to_it_again(place: Place) -> None:
    place.start("a-1")
    assert name_of(place.take()) == "a-1"  # the answer is lost
    place.start("a-2")
    assert name_of(place.take()) == "a-1"


def test_only_the_newest_call_of_a_pod_is_answered(place: Place) -> None:
    place.start("a-1")
    assert name_of(place.take()) == "a-1"
    place.end("a-1")
    first = place.take()  # nobody hears its answer
    second = place.take()
    place.start("a-2")
    assert name_of(second) == "a-2"
    assert first.result(30) == {}


def test_as_many_pods_as_attempts_up_to_the_limit(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FABRIC_JOBS_KUBERNETES_POOL_PODS", "3")
    for number in range(5):
        place.start(f"a-{number}")
    pods = until(lambda: found if len(found := place.pods()) == 3 else None, "three pods")
    given = [name_of(place.take(pod=pod)) for pod in pods]
    for _ in range(2):
        place.end(given[-1], pod=pods[2])
        given.append(name_of(place.take(pod=pods[2])))
    assert sorted(given) == [f"a-{number}" for number in range(5)]
    assert len(place.pods()) == 3


@pytest.mark.parametrize(
    "change",
    [{"image": "image:2"}, {"environment": {"MODE": "y"}}, {"warm": ("json",)}, {"command": ("python3", "other.py")}],
    ids=["image", "variables", "preload", "command"],
)
def test_other_programs_have_other_pools(place: Place, change: dict[str, Any]) -> None:
    place.start("a-1")
    place.start("b-1", **change)
    pods = until(lambda: found if len(found := place.pods()) == 2 else None, "two pods")
    assert len({pod["metadata"]["labels"][POOL] for pod in pods}) == 2


def test_skills_never_share_a_pool(place: Place) -> None:
    place.executor.start(spec("a-1"))
    place.executor.start(replace(spec("b-1"), labels={"skill": "t", "action": "a"}))
    pods = until(lambda: found if len(found := place.pods()) == 2 else None, "two pods")
    assert len({pod["metadata"]["labels"][POOL] for pod in pods}) == 2


# Ends that nobody reports


def test_a_pod_that_is_gone_has_lost_its_attempt(place: Place) -> None:
    handle = place.start()
    pod = place.pod()
    place.take().result(30)
    place.cluster.call(lambda server: server.node.delete("pods", "default", pod["metadata"]["name"], 0))
    found = ended(place.executor, handle)
    assert (found.code, found.reason) == (None, LOST)
    assert "its pod was deleted by somebody else" in place.executor.note(handle).remarks


def test_a_pod_that_is_gone_before_it_had_an_attempt_is_replaced(place: Place) -> None:
    handle = place.start()
    pod = place.pod()
    place.take("", pod=pod).result(30)
    place.end("a-1", pod=pod)
    place.cluster.call(lambda server: server.node.delete("pods", "default", pod["metadata"]["name"], 0))
    until(lambda: not place.pods(), "it is gone")
    place.start("a-2")
    assert name_of(place.take()) == "a-2"
    assert place.executor.poll(handle) == AttemptExit(0)


@pytest.mark.parametrize("code", [0, 143])
def test_the_end_of_a_program_whose_pod_is_deleted_is_not_its_own(place: Place, code: int) -> None:
    handle = place.start()
    pod = place.pod()
    place.take(pod=pod).result(30)
    name = pod["metadata"]["name"]
    place.cluster.call(lambda server: server.objects.change("pods", "default", name, {"metadata": GOING}))
    site = place.executor._controller._site
    assert site is not None
    until(
        lambda: "deletionTimestamp" in site.pods.found[name]["metadata"], "the executor knows that it is to be deleted"
    )
    found = until(lambda: report(place, handle, pod, code), "the end")
    assert (found.code, found.reason) == (None, LOST)


GOING = {"deletionTimestamp": "2026-01-01T00:00:00Z"}


def report(place: Place, handle: str, pod: Any, code: int) -> AttemptExit | None:
    place.end("a-1", code, pod=pod)
    return place.executor.poll(handle)


def test_a_program_that_needed_too_much_memory(place: Place) -> None:
    handle = place.start()
    place.take().result(30)
    place.end("a-1", 137, is_oom=True)
    assert place.executor.poll(handle) == AttemptExit(137, OUT_OF_MEMORY)


# Stops


def test_a_stop_arrives_at_an_open_call(place: Place) -> None:
    handle = place.start()
    place.take().result(30)
    said = place.take("a-1")
    place.executor.stop(handle, 7.0)
    assert said.result(30) == {"stop": "a-1", "grace": 7.0}
    said = place.take("a-1", 7.0)
    place.executor.stop(handle, 2.0)
    assert said.result(30) == {"stop": "a-1", "grace": 2.0}
    place.end("a-1", 9)
    assert place.executor.poll(handle) == AttemptExit(9, STOPPED)


def test_an_attempt_that_waits_is_stopped_at_once(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FABRIC_JOBS_KUBERNETES_POOL_PODS", "1")
    place.start("a-1")
    assert name_of(place.take()) == "a-1"
    handle = place.start("a-2")
    place.executor.stop(handle, 30.0)
    assert ended(place.executor, handle).reason == STOPPED
    place.end("a-1")
    place.start("a-3")
    assert name_of(place.take()) == "a-3"


def test_a_pod_that_does_not_heed_a_stop_is_deleted(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fabric_jobs.executors.kubernetes.pooled.FORCE_SECONDS", 0.1)
    handle = place.start()
    place.take().result(30)
    place.executor.stop(handle, 0.1)
    assert ended(place.executor, handle).reason == STOPPED


# Owners


def test_another_owner_waits_for_the_report(place: Place) -> None:
    handle = place.start()
    pod = place.pod()
    place.take().result(30)
    place.kill()
    assert place.executor.poll(handle) is None
    place.end("a-1", 4, pod=pod)
    assert place.executor.poll(handle) == AttemptExit(4)


def test_a_report_comes_before_the_new_owner_was_asked_for_the_attempt(place: Place) -> None:
    handle = place.start()
    pod = place.pod()
    place.take().result(30)
    place.kill()
    place.end("a-1", 4, pod=pod)
    assert place.executor.poll(handle) == AttemptExit(4)


def test_a_new_owner_gives_what_its_pod_never_heard_of(place: Place) -> None:
    place.start("a-1")
    pod = place.pod()
    place.take().result(30)  # the answer is lost with the owner
    place.kill()
    place.start("a-2")
    assert name_of(place.take(pod=pod)) == "a-1"


def test_an_attempt_that_waits_is_offered_by_the_next_owner(place: Place) -> None:
    handle = place.start()
    pod = place.pod()
    place.kill()
    assert place.executor.poll(handle) is None
    assert name_of(place.take(pod=pod)) == "a-1"
    place.end("a-1", pod=pod)
    assert ended(place.executor, handle) == AttemptExit(0)


def test_an_attempt_whose_pod_went_while_there_was_no_owner_is_lost(place: Place) -> None:
    handle = place.start()
    pod = place.pod()
    place.take().result(30)
    place.executor.close()
    place.cluster.call(lambda server: server.node.delete("pods", "default", pod["metadata"]["name"], 0))
    place.kill()
    assert ended(place.executor, handle).reason == LOST


def test_a_report_may_come_twice(place: Place) -> None:
    handle = place.start()
    place.take().result(30)
    place.end("a-1", 1)
    place.end("a-1", 1)
    assert place.executor.poll(handle) == AttemptExit(1)


def test_an_attempt_that_was_given_up_is_ended_in_its_pod(place: Place) -> None:
    place.start()
    place.take().result(30)
    place.end("a-1")
    assert place.take("b-1").result(30) == {"stop": "b-1", "grace": 0.0}


def test_another_process_in_a_pod_is_refused(place: Place) -> None:
    place.start()
    place.take().result(30)
    with pytest.raises(StaleAttempt):
        place.take(who="j").result(30)


def test_a_pod_of_nobody_is_refused(place: Place) -> None:
    place.start()
    place.take().result(30)
    stranger = {"metadata": {"labels": {**place.pod()["metadata"]["labels"], JOB: "none"}}}
    with pytest.raises(StaleAttempt):
        place.take(pod=stranger).result(30)


# Pods that come and go


def test_an_idle_pool_has_no_pods(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FABRIC_JOBS_KUBERNETES_POOL_SECONDS", "1")
    handle = place.start()
    place.take().result(30)
    place.end("a-1")
    until(lambda: not place.left(), "nothing is left")
    assert place.executor.poll(handle) == AttemptExit(0)
    place.start("a-2")
    assert name_of(place.take()) == "a-2"


def test_what_another_owner_left_goes_when_it_is_idle(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    handle = place.start()
    place.take().result(30)
    place.end("a-1")
    monkeypatch.setenv("FABRIC_JOBS_KUBERNETES_POOL_SECONDS", "1")
    place.kill()
    place.executor.poll(handle)
    place.start("other", image="image:2")
    until(lambda: all("image:1" not in str(pod["spec"]) for pod in place.pods()) and place.pods(), "the first one goes")


def test_a_program_that_cannot_be_forked_starts_cold(place: Place) -> None:
    handle = place.start()
    pod = place.pod()
    pool, caller = pod["metadata"]["labels"][POOL], (pod["metadata"]["labels"][JOB], "i")
    place.executor.ask_pools(lambda pools: pools.refuse(pool, caller, "'x' cannot be imported")).result(30)
    until(lambda: any(POOL not in pod["metadata"]["labels"] for pod in place.running()), "a pod of its own")
    assert place.executor.note(handle).remarks == ("starts cold: 'x' cannot be imported",)
    other = place.start("a-2")
    until(lambda: place.executor.note(other).remarks, "the next one starts cold at once")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"command": ("sh", "run.sh")}, "'sh' is not a Python"),
        ({"command": ()}, "give the action a 'command'"),
        ({"port": 8080}, "daemon or an API"),
        ({"pod_spec": ({"path": "/containers/0/command", "value": ["x"]},)}, "podSpec has a command of its own"),
    ],
    ids=["shell", "image", "port", "podSpec"],
)
def test_a_program_that_does_not_fit_starts_cold(place: Place, change: dict[str, Any], why: str) -> None:
    handle = place.start(**change)
    remarks = until(lambda: place.executor.note(handle).remarks, "a remark")
    assert remarks[0].startswith("starts cold: ")
    assert why in remarks[0]


def test_nothing_secret_is_in_what_everybody_may_read(place: Place) -> None:
    place.start(environment={"MODE": "hidden", "CORTEX_TOKEN": "t", "FABRIC_JOBS_ATTEMPT": "a-1"})
    pod = place.pod()
    jobs = place.cluster.call(lambda server: server.objects.every("jobs", "default"))
    assert "hidden" not in json.dumps([pod, jobs])

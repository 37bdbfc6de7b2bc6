"""What settings and actions say of a place, in a real cluster: queues, users, more objects; and dry runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from fabric_jobs.executors.base import LOST, REFUSED, AttemptExit, AttemptSpec
from fabric_jobs.executors.kubernetes import layer, manifest
from fabric_jobs.executors.kubernetes.around import Around
from tests.executors.contract import Running, ended
from tests.executors.kubernetes_driver import KubernetesDriver, spec_of
from tests.executors.kubernetes_driver import kubernetes_driver as kubernetes_driver
from tests.kubernetes_place import found as found_objects
from tests.kubernetes_place import kubectl, needs_cluster, until

pytestmark = needs_cluster

BUSYBOX = "rig.local/busybox:1"
MARK = "fabric-jobs/resource-of"


def plain_spec(name: str = "attempt-1", **changes: Any) -> AttemptSpec:
    """Return the spec of an attempt whose program only its image knows: a shell that ends at once."""
    return spec_of(name=name, **{"image": BUSYBOX, **changes})


def config_map(name: str, value: str, **metadata: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **metadata}, "data": {"a": value}}


def of_cluster(driver: KubernetesDriver, kind: str, name: str) -> dict[str, Any]:
    return next(each for each in found_objects(kind, driver.namespace) if each["metadata"]["name"] == name)


def patch(driver: KubernetesDriver, kind: str, name: str, change: object) -> None:
    words = ("--namespace", driver.namespace, "--type", "merge", "--patch", json.dumps(change))
    kubectl("patch", kind, name, *words)


def is_within(part: object, whole: object) -> bool:
    """Tell whether a whole has all of a part; the cluster adds its defaults."""
    if isinstance(part, Mapping) and isinstance(whole, Mapping):
        return all(key in whole and is_within(value, whole[key]) for key, value in part.items())
    if isinstance(part, list) and isinstance(whole, list):
        return len(part) == len(whole) and all(map(is_within, part, whole))
    return part == whole


# Queues


def test_a_job_in_a_queue_waits_until_it_is_let_go(driver: KubernetesDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FABRIC_JOBS_KUBERNETES_QUEUE", "team-a")
    handle = driver.executor.start(plain_spec())
    waits = "suspended: waits in the queue 'team-a'"
    until(lambda: driver.executor.note(handle).doing == waits, waits)
    assert driver.executor.note(handle).waits  # so that it does not use up the program's time
    assert driver.executor.poll(handle) is None
    assert driver.objects("pods") == []
    (job,) = driver.objects("jobs")
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team-a"
    patch(driver, "job", job["metadata"]["name"], {"spec": {"suspend": False}})  # as Kueue does
    assert ended(driver.executor, handle) == AttemptExit(0)
    assert driver.executor.note(handle).doing == ""


def test_a_job_in_a_queue_can_be_stopped(driver: KubernetesDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FABRIC_JOBS_KUBERNETES_QUEUE", "team-a")
    handle = driver.executor.start(plain_spec())
    until(lambda: "suspended" in driver.executor.note(handle).doing, "it is suspended")
    driver.executor.stop(handle, 1.0)
    assert ended(driver.executor, handle).reason == "stopped"
    until(lambda: not driver.left(), "nothing is left")


def test_an_attempt_whose_place_is_taken_away_is_lost(
    driver: KubernetesDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = Running(driver.spec("attempt-1"), driver.executor.start(driver.spec("attempt-1")))
    driver.order(running, ":")
    (job,) = driver.objects("jobs")
    patch(driver, "job", job["metadata"]["name"], {"spec": {"suspend": True}})  # as Kueue does for a more urgent one
    found = ended(driver.executor, running.handle)
    assert (found.code, found.reason) == (None, LOST)
    until(lambda: not driver.left(), "nothing is left")


# The pod


def test_the_cluster_takes_every_part_of_the_job(driver: KubernetesDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    kubectl("create", "serviceaccount", "scorer", "--namespace", driver.namespace)
    for name, value in {
        "QUEUE": "team-a",
        "MESH": "native",
        "SERVICE_ACCOUNT": "scorer",
        "PULL_SECRETS": "one",
        "NODE_SELECTOR": "kubernetes.io/os=linux",
        "USER": "1000",
    }.items():
        monkeypatch.setenv(f"FABRIC_JOBS_KUBERNETES_{name}", value)
    adds = ({"path": "/tolerations/-", "value": {"key": "gpu", "operator": "Exists"}},)
    spec = plain_spec(pod_spec=adds)
    spec = AttemptSpec(name=spec.name, processes=spec.processes, labels={"skill": "a/b"}, timeout=60)
    handle = driver.executor.start(spec)
    until(lambda: driver.objects("jobs"), "there is a Job")
    (job,) = driver.objects("jobs")
    place = Around(
        owner=job["metadata"]["labels"]["fabric-jobs/owner"],
        queue="team-a",
        mesh="native",
        service_account="scorer",
        pull_secrets=("one",),
        node_selector={"kubernetes.io/os": "linux"},
        user=1000,
    )
    assert is_within(manifest.job(spec, (), place), job)
    driver.executor.stop(handle, 0.0)
    assert ended(driver.executor, handle).reason == "stopped"


def test_the_cluster_ends_a_program_that_nobody_ends(driver: KubernetesDriver) -> None:
    spec = spec_of("python3", "-c", "import time; print('begun', flush=True); time.sleep(1000)")
    handle = driver.executor.start(AttemptSpec(name=spec.name, processes=spec.processes, timeout=1))
    until(lambda: driver.output(handle)[0] == b"begun\n", "it runs")
    (pod,) = driver.objects("pods")
    assert pod["spec"]["activeDeadlineSeconds"] == 2 + manifest.SPARE_SECONDS
    patch(driver, "pod", pod["metadata"]["name"], {"spec": {"activeDeadlineSeconds": 1}})  # as if the time had passed
    found = ended(driver.executor, handle)
    assert (found.code in (137, 143), found.reason) == (True, "")


def test_a_restricted_namespace_takes_programs_of_a_user(
    driver: KubernetesDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    kubectl("label", "namespace", driver.namespace, "pod-security.kubernetes.io/enforce=restricted")
    refused = driver.executor.start(plain_spec("as-root"))
    until(lambda: "violates PodSecurity" in driver.executor.note(refused).doing, "it is refused in the cluster's words")
    driver.executor.stop(refused, 0.0)
    monkeypatch.setenv("FABRIC_JOBS_KUBERNETES_USER", "1000")
    handle = driver.executor.start(plain_spec("as-user"))
    assert ended(driver.executor, handle) == AttemptExit(0)


# More objects


def test_more_objects_are_created_once_and_changed_only_with_their_text(driver: KubernetesDriver) -> None:
    def run(name: str, value: str) -> None:
        text = json.dumps(config_map("extra", value, labels={"own": "label"}))
        spec = plain_spec(name, k8s_resources=(text,))
        spec = AttemptSpec(name=name, processes=spec.processes, labels={"skill": "a/b", "action": "act"})
        assert ended(driver.executor, driver.executor.start(spec)) == AttemptExit(0)

    run("one", "first")
    made = of_cluster(driver, "configmaps", "extra")
    assert made["data"] == {"a": "first"}
    labels = made["metadata"]["labels"]
    assert (labels["own"], labels["fabric-jobs/skill"], labels["fabric-jobs/action"]) == ("label", "a-b", "act")
    assert labels[MARK]
    run("two", "first")
    assert (
        of_cluster(driver, "configmaps", "extra")["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
    )
    run("three", "second")
    assert of_cluster(driver, "configmaps", "extra")["data"] == {"a": "second"}
    driver.again()  # whose sweep deletes what is left of attempts, and nothing else
    run("four", "second")
    assert of_cluster(driver, "configmaps", "extra")["metadata"]["uid"] == made["metadata"]["uid"]
    until(lambda: not driver.left(), "attempts leave nothing")


def test_an_object_of_somebody_else_is_left_as_it_is(driver: KubernetesDriver) -> None:
    words = ("configmap", "theirs", "--namespace", driver.namespace)
    kubectl("create", *words, "--from-literal=a=original")
    before = of_cluster(driver, "configmaps", "theirs")
    handle = driver.executor.start(plain_spec(k8s_resources=(json.dumps(config_map("theirs", "ours")),)))
    assert ended(driver.executor, handle) == AttemptExit(0)
    assert of_cluster(driver, "configmaps", "theirs") == before
    assert "ConfigMap 'theirs' was there before, and is used as it is" in driver.executor.note(handle).remarks


IMPOSSIBLE: tuple[tuple[dict[str, Any], str], ...] = (
    ({"apiVersion": "v1", "kind": "Unicorn", "metadata": {"name": "x"}}, "no objects of kind 'Unicorn'"),
    ({"apiVersion": "none.such/v1", "kind": "Thing", "metadata": {"name": "x"}}, "apiVersion 'none.such/v1'"),
    ({"apiVersion": "../../v1", "kind": "Secret", "metadata": {"name": "x"}}, "apiVersion '../../v1'"),
    ({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}}, "are not in a namespace"),
    (config_map("x", "a", namespace="kube-system"), "is for the namespace 'kube-system'"),
    ({"apiVersion": "v1", "kind": "ConfigMap"}, "has no 'metadata.name'"),
    (config_map("Not A Name", "a"), 'the cluster says: ConfigMap "Not A Name" is invalid'),
)


def test_an_object_that_cannot_be_is_an_error_at_once(driver: KubernetesDriver) -> None:
    specs = [plain_spec(f"attempt-{n}", k8s_resources=(json.dumps(body),)) for n, (body, _) in enumerate(IMPOSSIBLE)]
    for handle, (_, said) in zip([driver.executor.start(spec) for spec in specs], IMPOSSIBLE, strict=True):
        found = ended(driver.executor, handle)
        assert (found.code, found.reason) == (None, REFUSED)
        assert "its k8sResources: " in found.cause
        assert said in found.cause
    assert driver.left() == []


def test_the_runtime_layer_is_there_once(driver: KubernetesDriver) -> None:
    for name in ("one", "two"):
        assert ended(driver.executor, driver.executor.start(plain_spec(name))) == AttemptExit(0)
    names = [each["metadata"]["name"] for each in driver.objects("configmaps")]
    assert names == [layer.name()]

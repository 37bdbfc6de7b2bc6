"""Dry runs with a cluster: its verdicts, in its own words; and what is shown of a task is what it has."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.kubernetes.live import KubernetesLive
from tests.kubernetes_place import KUBECONFIG, config_of_nobody, kubectl, needs_cluster, until

pytestmark = needs_cluster

EXTRA = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "extra"}}
WAIT = "import time; time.sleep(1000)"


def is_within(part: object, whole: object) -> bool:
    """Tell whether a whole has all of a part; the cluster adds its defaults."""
    if isinstance(part, Mapping) and isinstance(whole, Mapping):
        return all(key in whole and is_within(value, whole[key]) for key, value in part.items())
    if isinstance(part, list) and isinstance(whole, list):
        return len(part) == len(whole) and all(map(is_within, part, whole))
    return part == whole


def dry_run(live: KubernetesLive, code: int = 0) -> str:
    """Make a dry run of the skill `score`; return what it says."""
    ran = live.run("skills", "invoke", "score", "--executor", "kubernetes", "--dry-run")
    assert ran.code == code, ran
    assert yaml.safe_load(ran.out)["kind"] == "List"
    return ran.err


def test_the_cluster_says_what_it_takes_and_nothing_is_created(live: KubernetesLive) -> None:
    live.inline("score", WAIT, k8sResources=[json.dumps(EXTRA)])
    said = dry_run(live)
    assert f"namespace {live.namespace}" in said
    assert said.count(": ok\n") == 4  # the ConfigMap, the Secret, the Job and its pod
    kubectl("create", "configmap", "extra", "--namespace", live.namespace)
    assert "ConfigMap extra: there already; it stays as it is" in dry_run(live)
    assert live.left() == []


def test_objects_that_are_none_are_refused(live: KubernetesLive) -> None:
    wrong = [{}, {"kind": "Job", "spec": 3}, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": []}]
    live.inline("score", WAIT, k8sResources=[json.dumps(each) for each in wrong])
    said = dry_run(live, 1)
    assert "no objects of kind '' and apiVersion ''" in said
    assert "no objects of kind 'Job' and apiVersion ''" in said
    assert said.count(": ok\n") == 3  # the Secret, the Job and its pod


def test_what_the_cluster_refuses_is_said_in_its_own_words(live: KubernetesLive, tmp_path: Path) -> None:
    live.inline("score", WAIT)
    kubectl("create", "quota", "none", "--hard=pods=0", "--namespace", live.namespace)
    said = dry_run(live, 1)
    assert "is forbidden: exceeded quota: none" in said
    assert "the cluster does not take 1 object" in said
    kubectl("delete", "quota", "none", "--namespace", live.namespace)
    kubectl("label", "namespace", live.namespace, "pod-security.kubernetes.io/enforce=restricted")
    assert 'violates PodSecurity "restricted:latest": runAsNonRoot != true' in dry_run(live, 1)
    live.stop_owner()
    live.environment["FABRIC_JOBS_KUBERNETES_USER"] = "1000"
    assert "NO: " not in dry_run(live)
    live.stop_owner()
    live.environment["KUBECONFIG"] = config_of_nobody(live.namespace, tmp_path / "limited")
    said = dry_run(live, 1)
    assert 'cannot create resource "jobs" in API group "batch"' in said
    assert "not checked: a right is missing" in said  # pods are created by the cluster
    assert "1 object could not be checked, and may still be refused." in said
    assert "does not take 2 objects" in said
    live.stop_owner()
    live.environment["FABRIC_JOBS_KUBERNETES_NAMESPACE"] = "none-such"
    live.environment["KUBECONFIG"] = KUBECONFIG
    assert 'namespaces "none-such" not found' in dry_run(live, 1)


def test_a_task_is_shown_as_the_cluster_has_it(live: KubernetesLive) -> None:
    live.inline("score", WAIT, timeout=60, resources={"cpu": "100m"})
    activation = live.detach("score", {"hidden": 1})
    (job,) = until(lambda: live.objects("jobs"), "there is a Job")
    shown_secret, shown_job = yaml.safe_load(live.ok("tasks", "describe", "score", "--k8s").out)["items"]
    assert is_within(shown_job, job)
    (secret,) = live.objects("secrets")
    assert is_within(shown_secret["metadata"], secret["metadata"])
    real = json.loads(base64.b64decode(secret["data"]["order.json"]))
    shown = json.loads(shown_secret["stringData"]["order.json"])
    only_real = {"gateway": "", "token": "(left out)", "words": [*real["words"][:-1], "(left out)"]}
    variables = {**real["environment"], "CORTEX_PAYLOAD": "(left out)", "CORTEX_TOKEN": "(left out)"}
    assert {**real, **only_real, "environment": variables} == shown
    assert "hidden" in real["words"][-1]
    live.ok("activations", "cancel", activation)
    until(lambda: not live.left(), "nothing is left")


def test_waiting_in_a_queue_does_not_use_up_the_timeout(live: KubernetesLive) -> None:
    live.environment["FABRIC_JOBS_KUBERNETES_QUEUE"] = "team-a"
    live.inline("score", "print(1)", timeout=4)
    activation = live.detach("score")
    waits = "suspended: waits in the queue 'team-a'"
    until(lambda: live.progress(activation)["score"]["note"] == waits, waits)
    later = time.monotonic() + 5
    until(lambda: time.monotonic() > later, "its timeout would be over")
    (job,) = live.objects("jobs")
    assert job["spec"]["suspend"] is True
    change: Any = json.dumps({"spec": {"suspend": False}})  # as Kueue does
    kubectl("patch", "job", job["metadata"]["name"], "--namespace", live.namespace, "--type=merge", "--patch", change)
    record = live.wait(activation)
    assert (record["status"], record["response"]) == ("COMPLETE", "1\n")

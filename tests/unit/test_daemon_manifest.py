"""The objects of a daemon in a cluster, as dicts."""

from __future__ import annotations

from typing import Any

import pytest

from fabric_jobs.errors import InvalidInput
from fabric_jobs.executors.base import AttemptSpec, Limits, ProcessSpec
from fabric_jobs.executors.kubernetes import daemon_manifest, layer
from fabric_jobs.executors.kubernetes.around import Around

AROUND = Around(owner="0a1b2c")
LABELS = {
    "app.kubernetes.io/managed-by": "fabric-jobs",
    "fabric-jobs/owner": "0a1b2c",
    "fabric-jobs/attempt": "local-serve-7-1",
    "fabric-jobs/project": "local",
    "fabric-jobs/skill": "My-Skill".lower(),
    "fabric-jobs/action": "serve",
}
NOTES = {
    "fabric-jobs/attempt": "local-serve-7-1",
    "fabric-jobs/project": "local",
    "fabric-jobs/skill": "My-Skill",
    "fabric-jobs/action": "serve",
}
NAME = "fj-0a1b2c-local-serve-7-1"
SELECTOR = {"fabric-jobs/owner": "0a1b2c", "fabric-jobs/attempt": "local-serve-7-1"}


def spec_of(replicas: int = 3, **changes: Any) -> AttemptSpec:
    given = {
        "directory": None,
        "image": "registry.example/serve:1",
        "command": ("serve", "--name", "$(HOME)"),
        "environment": {"MODEL": "large"},
        "port": 8080,
        "limits": Limits(cpu=0.5, memory=1 << 20),
        **changes,
    }
    labels = {"project": "local", "skill": "My-Skill", "action": "serve"}
    return AttemptSpec(name="local-serve-7-1", processes=(ProcessSpec(**given),), labels=labels, replicas=replicas)


def test_a_daemon_is_a_deployment() -> None:
    found = daemon_manifest.deployment(spec_of(), AROUND)
    assert {**found, "spec": {**found["spec"], "template": None}} == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": NAME, "labels": LABELS, "annotations": NOTES},
        "spec": {
            "replicas": 3,
            "revisionHistoryLimit": 0,
            "selector": {"matchLabels": SELECTOR},
            "template": None,
        },
    }
    metadata = found["spec"]["template"]["metadata"]
    assert LABELS.items() <= metadata["labels"].items()
    assert NOTES.items() <= metadata["annotations"].items()


def test_its_pods_are_started_by_their_image_and_are_ready_when_their_port_is_open() -> None:
    pod = daemon_manifest.deployment(spec_of(), AROUND)["spec"]["template"]["spec"]
    assert "restartPolicy" not in pod  # a Deployment allows only `Always`
    assert pod["shareProcessNamespace"] is True
    (container,) = pod["containers"]
    assert container["command"] == ["serve", "--name", "$$(HOME)"]
    assert container["ports"] == [{"name": "http", "containerPort": 8080}]
    assert container["readinessProbe"]["tcpSocket"] == {"port": "http"}
    assert container["envFrom"] == [{"secretRef": {"name": NAME}}]
    assert container["resources"] == {"limits": {"cpu": "500m", "memory": "1048576"}}


def test_its_service_leads_to_its_own_pods_only() -> None:
    assert daemon_manifest.service(spec_of(), AROUND) == {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": NAME, "labels": LABELS, "annotations": NOTES},
        "spec": {"selector": SELECTOR, "ports": [{"name": "http", "port": 8080, "targetPort": "http"}]},
    }


def test_its_secret_has_its_variables() -> None:
    found = daemon_manifest.secret(spec_of(), AROUND)
    assert found["metadata"] == {"name": NAME, "labels": LABELS, "annotations": NOTES}
    given = {"MODEL": "large", "PORT": "8080", "PYTHONPATH": layer.PATH, "PYTHONUNBUFFERED": "1"}
    assert given.items() <= found["stringData"].items()
    assert "data" not in found


def test_two_attempts_have_different_names() -> None:
    names = {
        daemon_manifest.name(spec, AROUND) for spec in (spec_of(), AttemptSpec(name="local-serve-7-2", processes=()))
    }
    assert len(names) == 2


def test_a_pod_spec_changes_its_pods() -> None:
    probe = {"httpGet": {"path": "/ready", "port": "http"}}
    adds = (
        {"path": "/containers/0/readinessProbe", "value": probe},
        {"path": "/terminationGracePeriodSeconds", "value": 120},
    )
    pod = daemon_manifest.deployment(spec_of(pod_spec=adds), AROUND)["spec"]["template"]["spec"]
    assert pod["containers"][0]["readinessProbe"] == probe
    assert pod["terminationGracePeriodSeconds"] == 120
    with pytest.raises(InvalidInput, match="/nothing/here"):
        daemon_manifest.deployment(spec_of(pod_spec=({"path": "/nothing/here", "value": 1},)), AROUND)

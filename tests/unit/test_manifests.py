"""What would run on Kubernetes: whole objects, compared as values."""

from __future__ import annotations

import json
import re
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric_jobs.definitions import Action, Property, Resources, Skill
from fabric_jobs.documents import skill_from_json
from fabric_jobs.errors import InvalidInput, NotThereYet
from fabric_jobs.manifests import Owner, object_name, patched, skill_manifests, task_manifest

OWNER = Owner(project="local", skill="cortex/Score", images={"score": "registry/score:1", "serve": "serve"})
LABELS = {
    "app.kubernetes.io/managed-by": "fabric-jobs",
    "fabric-jobs/project": "local",
    "fabric-jobs/skill": "cortex-score",
    "fabric-jobs/action": "score",
}
RESTRICTED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def test_a_job_is_rendered_with_all_that_its_action_says() -> None:
    action = Action(
        name="score",
        command=("python", "main.py", "$(HOME)"),
        timeout=90.4,
        environment={"MODE": "$(cat)", "CORTEX_TOKEN": "stolen"},
        resources=Resources(cpu="500m", memory="1Gi", gpu=1),
        pod_spec=({"path": "/nodeSelector", "value": {"disk": "ssd"}},),
        k8s_resources=('{"kind": "ConfigMap"}',),
    )
    job, extra = skill_manifests(Skill(name="cortex/Score", actions=(action,)), OWNER)["items"]
    assert extra == {"kind": "ConfigMap"}
    secret = "local-cortex-score-score-message"
    assert job == {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"generateName": "local-cortex-score-score-", "labels": LABELS},
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": 90,
            "template": {
                "metadata": {"labels": LABELS},
                "spec": {
                    "restartPolicy": "Never",
                    "nodeSelector": {"disk": "ssd"},
                    "containers": [
                        {
                            "name": "score",
                            "image": "registry/score:1",
                            "command": ["python", "main.py", "$$(HOME)"],
                            "args": ["$(CORTEX_PAYLOAD)"],
                            "env": [
                                {"name": "MODE", "value": "$$(cat)"},
                                {"name": "CORTEX_TOKEN", "value": "stolen"},
                                _secret("CORTEX_PAYLOAD", secret, "message"),
                                _secret("CORTEX_TOKEN", secret, "token"),
                                {"name": "CORTEX_PROJECT", "value": "local"},
                                {"name": "PYTHONUNBUFFERED", "value": "1"},
                            ],
                            "securityContext": RESTRICTED,
                            "resources": {"limits": {"cpu": "500m", "memory": "1Gi", "nvidia.com/gpu": "1"}},
                        }
                    ],
                },
            },
        },
    }


def _secret(name: str, secret: str, key: str) -> dict[str, Any]:
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}


def test_a_daemon_is_a_deployment_and_a_service_of_one_name() -> None:
    action = Action(name="serve", type="daemon", port="8080", scale_count=3)
    port = Property(name="daemon.port", default_value=9000)
    found = skill_manifests(Skill(name="cortex/Score", actions=(action,), properties=(port,)), OWNER)
    deployment, service = found["items"]
    assert (found["apiVersion"], found["kind"]) == ("v1", "List")
    assert deployment["metadata"] == service["metadata"]
    assert deployment["metadata"]["name"] == "local-cortex-score-serve"
    spec = deployment["spec"]
    assert (spec["replicas"], spec["selector"]["matchLabels"]) == (3, spec["template"]["metadata"]["labels"])
    (container,) = spec["template"]["spec"]["containers"]
    assert container["ports"] == [{"name": "http", "containerPort": 9000}]
    assert container["env"] == [{"name": "PORT", "value": "9000"}]
    assert "args" not in container
    ports = [{"name": "http", "port": 9000, "targetPort": "http"}]
    assert service["spec"] == {"selector": spec["selector"]["matchLabels"], "ports": ports}


def test_the_job_of_a_task_has_its_name_and_no_message() -> None:
    job = task_manifest(Action(name="score"), OWNER, "local-cortex-Score-score-1f2e3d4c-2")
    assert job["metadata"]["name"] == "local-cortex-score-score-1f2e3d4c-2"
    assert "generateName" not in job["metadata"]
    assert "activeDeadlineSeconds" not in job["spec"]
    assert "eyJ" not in json.dumps(job)  # no token


def test_additions_go_where_they_say_in_their_order() -> None:
    def put(*patches: tuple[str, Any]) -> Any:
        adds = [{"path": path, "value": value} for path, value in patches]
        return patched({"containers": [{"name": "a"}]}, adds, "action 'score'")

    assert put(("/volumes", []), ("/volumes/-", {"name": "v"}), ("/volumes/0", {"name": "u"}))["volumes"] == [
        {"name": "u"},
        {"name": "v"},
    ]
    assert put(("/containers/0/resources", {"limits": {}}))["containers"] == [
        {"name": "a", "resources": {"limits": {}}}
    ]
    assert put(("/containers/0/name", "b"))["containers"] == [{"name": "b"}]
    assert put(("/x", {}), ("/x/a~1b", 1), ("/x/c~0d", 2))["x"] == {"a/b": 1, "c~d": 2}
    for path in ("/volumes/-", "/containers/1/name", "/containers/01/name", "/containers/-1/x", "/containers/0/name/x"):
        with pytest.raises(InvalidInput, match=re.escape(f"'{path}'")):
            put((path, 1))


VALUES = st.recursive(st.integers() | st.text(max_size=3), lambda inner: st.lists(inner, max_size=3), max_leaves=5)
KEYS = st.text(st.characters(codec="utf-8"), max_size=4)


@given(st.dictionaries(KEYS, VALUES, max_size=4), KEYS, VALUES)
def test_an_addition_to_an_object_is_found_there_and_changes_nothing_else(
    pod: dict[str, Any], key: str, value: Any
) -> None:
    before = deepcopy(pod)
    pointer = "/" + key.replace("~", "~0").replace("/", "~1")
    assert patched(pod, [{"path": pointer, "value": value}], "it") == {**before, key: value}
    assert pod == before


@given(st.lists(st.text(max_size=80), min_size=1, max_size=3))
def test_a_name_is_one_that_kubernetes_takes(words: list[str]) -> None:
    name = object_name(*words)
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", name)
    assert len(name) <= 52


def test_long_names_stay_different() -> None:
    assert object_name("a" * 60, "b") != object_name("a" * 60, "c")


def test_the_workers_of_an_api_are_not_rendered_as_something_else() -> None:
    entry = {"name": "score", "kind": "BatchAPI", "handler": {"path": "handler.py"}}
    skill = skill_from_json({"name": "score", "api": entry})
    with pytest.raises(NotThereYet, match="'score' is a BatchAPI, and its workers do not run on Kubernetes yet"):
        skill_manifests(skill, Owner(project="local", skill="score", images={"worker": "x"}))

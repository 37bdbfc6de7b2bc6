"""The Job and the Secret of an attempt: whole objects, compared as values."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fabric_jobs.errors import InvalidInput
from fabric_jobs.executors.base import AttemptSpec, Limits, ProcessSpec
from fabric_jobs.executors.kubernetes import layer, manifest, mesh
from fabric_jobs.executors.kubernetes.around import Around, around

PLACE = Around(owner="0a1b2c", gateway="http://10.0.0.1:8080")
WORDS = ("python", "/app/main.py")
LABELS = {"project": "local", "activation": "ab12", "skill": "cortex/Score", "action": "score", "task": "7"}
KEPT = {
    "app.kubernetes.io/managed-by": "fabric-jobs",
    "fabric-jobs/owner": "0a1b2c",
    "fabric-jobs/attempt": "local-score-1",
    "fabric-jobs/project": "local",
    "fabric-jobs/activation": "ab12",
    "fabric-jobs/skill": "cortex-score",
    "fabric-jobs/action": "score",
    "fabric-jobs/task": "7",
}
NOTES = {"fabric-jobs/attempt": "local-Score-1", **{f"fabric-jobs/{key}": value for key, value in LABELS.items()}}
INJECT = "sidecar.istio.io/inject"
RESTRICTED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
NO_MESH = {"START_WITHOUT_ENVOY": "true", "SCUTTLE_LOGGING": "false"}


def a_spec(*adds: tuple[str, Any], files: dict[str, bytes] | None = None, **changes: Any) -> AttemptSpec:
    values: dict[str, Any] = {
        "directory": Path("/skills/score"),
        "arguments": ('{"payload": 1}',),
        "image": "registry/score:1",
        "environment": {"MODE": "$(cat)", "CORTEX_TOKEN": "t.o.k", "FABRIC_JOBS_ATTEMPT": "7-1"},
        "pod_spec": tuple({"path": path, "value": value} for path, value in adds),
    }
    process = ProcessSpec(**{**values, **changes})
    return AttemptSpec(name="local-Score-1", processes=(process,), labels=LABELS, files=files or {}, timeout=90.4)


def pod_of(spec: AttemptSpec, words: tuple[str, ...] = WORDS, place: Around = PLACE) -> Any:
    return manifest.job(spec, words, place)["spec"]["template"]["spec"]


def program_of(spec: AttemptSpec, words: tuple[str, ...] = WORDS, place: Around = PLACE) -> Any:
    return next(each for each in pod_of(spec, words, place)["containers"] if each["name"] == "program")


def test_a_program_whose_line_is_known_is_started_by_the_runtime_layer() -> None:
    job = manifest.job(a_spec(limits=Limits(cpu=0.5, memory=1 << 30, gpu=1)), WORDS, PLACE)
    assert job == {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "fj-0a1b2c-local-score-1", "labels": KEPT, "annotations": NOTES},
        "spec": {
            "backoffLimit": 0,
            "ttlSecondsAfterFinished": 24 * 3600,
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {
                "rules": [{"action": "FailJob", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]
            },
            "template": {
                "metadata": {"labels": {**KEPT, INJECT: "false"}, "annotations": {**NOTES, INJECT: "false"}},
                "spec": {
                    "restartPolicy": "Never",
                    "activeDeadlineSeconds": 3781,
                    "automountServiceAccountToken": False,
                    "enableServiceLinks": False,
                    "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
                    "containers": [
                        {
                            "name": "program",
                            "image": "registry/score:1",
                            "imagePullPolicy": "IfNotPresent",
                            "securityContext": RESTRICTED,
                            "command": [
                                "python3",
                                "-I",
                                "-S",
                                "/opt/fabric-jobs/runtime.zip",
                                "/run/fabric-jobs/order/order.json",
                            ],
                            "resources": {"limits": {"cpu": "500m", "memory": "1073741824", "nvidia.com/gpu": "1"}},
                            "volumeMounts": [
                                {"name": "fj-runtime", "mountPath": "/opt/fabric-jobs", "readOnly": True},
                                {"name": "fj-order", "mountPath": "/run/fabric-jobs/order", "readOnly": True},
                                {"name": "fj-files", "mountPath": "/run/fabric-jobs/files"},
                                {"name": "fj-work", "mountPath": "/run/fabric-jobs/work"},
                            ],
                        }
                    ],
                    "volumes": [
                        {"name": "fj-runtime", "configMap": {"name": layer.name()}},
                        {"name": "fj-order", "secret": {"secretName": "fj-0a1b2c-local-score-1"}},
                        {"name": "fj-files", "emptyDir": {}},
                        {"name": "fj-work", "emptyDir": {}},
                    ],
                },
            },
        },
    }
    assert "t.o.k" not in json.dumps(job)


def test_its_secret_has_the_order() -> None:
    secret = manifest.secret(a_spec(files={"payload.json": b"1"}), WORDS, PLACE)
    order = json.loads(secret["stringData"].pop("order.json"))
    assert secret == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "fj-0a1b2c-local-score-1", "labels": KEPT, "annotations": NOTES},
        "stringData": {},
    }
    assert order == {
        "words": ["python", "/app/main.py", '{"payload": 1}'],
        "environment": {
            "PYTHONUNBUFFERED": "1",
            **NO_MESH,
            "MODE": "$(cat)",
            "CORTEX_TOKEN": "t.o.k",
            "FABRIC_JOBS_ATTEMPT": "7-1",
            "FABRIC_JOBS_WORKSPACE": "",
        },
        "gateway": "http://10.0.0.1:8080",
        "attempt": "7-1",
        "token": "t.o.k",
        "files": ["payload.json"],
        "directory": "/run/fabric-jobs/files",
        "work": "/run/fabric-jobs/work",
        "project": False,
        "port": 0,
        "patience": 300.0,
    }


def test_any_other_program_is_started_by_its_image() -> None:
    spec = a_spec(command=("run", "$(HOME)"), files={"payload.json": b"\xff"}, port=8080, limits=Limits(shm=64))
    job, secret = manifest.job(spec, (), PLACE), manifest.secret(spec, (), PLACE)
    name = "fj-0a1b2c-local-score-1-plain"
    pod = job["spec"]["template"]["spec"]
    assert job["metadata"]["name"] == secret["metadata"]["name"] == name
    assert pod["shareProcessNamespace"] is True
    (container,) = pod["containers"]
    assert container["command"] == ["run", "$$(HOME)"]
    assert container["args"] == ["$(FABRIC_JOBS_ARGUMENT_0)"]
    assert container["envFrom"] == [{"secretRef": {"name": name}}]
    assert container["ports"] == [{"name": "http", "containerPort": 8080}]
    assert [each["mountPath"] for each in container["volumeMounts"]] == [
        "/opt/fabric-jobs",
        "/run/fabric-jobs/files",
        "/dev/shm",
    ]
    assert pod["volumes"][1:] == [
        {
            "name": "fj-files",
            "secret": {"secretName": name, "items": [{"key": "file.payload.json", "path": "payload.json"}]},
        },
        {"name": "fj-shm", "emptyDir": {"medium": "Memory", "sizeLimit": "64"}},
    ]
    assert secret["data"] == {"file.payload.json": base64.b64encode(b"\xff").decode()}
    assert secret["stringData"] == {
        "PYTHONUNBUFFERED": "1",
        **NO_MESH,
        "MODE": "$(cat)",
        "CORTEX_TOKEN": "t.o.k",
        "FABRIC_JOBS_ATTEMPT": "7-1",
        "FABRIC_JOBS_WORKSPACE": "",
        "PYTHONPATH": "/opt/fabric-jobs/runtime.zip",
        "PORT": "8080",
        "FABRIC_JOBS_ARGUMENT_0": '{"payload": 1}',
    }


def test_without_a_timeout_there_is_no_deadline() -> None:
    assert "activeDeadlineSeconds" not in pod_of(replace(a_spec(), timeout=0.0))


def test_settings_of_the_place_are_in_every_pod_and_a_pod_spec_overrides_them() -> None:
    place = replace(PLACE, service_account="scorer", pull_secrets=("a", "b"), node_selector={"disk": "ssd"}, user=1000)
    pod = pod_of(a_spec(), place=place)
    assert (pod["serviceAccountName"], pod["automountServiceAccountToken"]) == ("scorer", True)
    assert pod["imagePullSecrets"] == [{"name": "a"}, {"name": "b"}]
    assert pod["nodeSelector"] == {"disk": "ssd"}
    assert pod["securityContext"] == {
        "seccompProfile": {"type": "RuntimeDefault"},
        "runAsNonRoot": True,
        "runAsUser": 1000,
        "runAsGroup": 1000,
        "fsGroup": 1000,
    }
    assert manifest.order(a_spec(), WORDS, place)["environment"]["HOME"] == "/tmp"
    changed = pod_of(
        a_spec(("/nodeSelector/zone", "a"), ("/serviceAccountName", "other"), ("/imagePullSecrets/-", {"name": "c"})),
        place=place,
    )
    assert changed["nodeSelector"] == {"disk": "ssd", "zone": "a"}
    assert changed["serviceAccountName"] == "other"
    assert changed["imagePullSecrets"] == [{"name": "a"}, {"name": "b"}, {"name": "c"}]
    assert place.node_selector == {"disk": "ssd"}


def test_a_pod_spec_adds_to_the_pod_and_keeps_what_the_runtime_layer_needs() -> None:
    volume, mount = {"name": "data", "emptyDir": {}}, {"name": "data", "mountPath": "/data"}
    toleration = {"key": "gpu", "operator": "Exists"}
    spec = a_spec(
        ("/volumes", [volume]),
        ("/containers/0/volumeMounts", [mount]),
        ("/containers/0/resources", {"requests": {"cpu": "1"}}),
        ("/containers/0/env/-", {"name": "A", "value": "b"}),
        ("/tolerations/-", toleration),
        ("/serviceAccountName", "scorer"),
        ("/restartPolicy", "OnFailure"),
        ("/containers/0", {"name": "beside", "image": "other"}),
    )
    pod, program = pod_of(spec), program_of(spec)
    assert pod["containers"][0] == {"name": "beside", "image": "other"}
    assert [each["name"] for each in pod["volumes"]] == ["data", "fj-runtime", "fj-order", "fj-files", "fj-work"]
    assert [each["name"] for each in program["volumeMounts"]] == [
        "data",
        "fj-runtime",
        "fj-order",
        "fj-files",
        "fj-work",
    ]
    assert (program["resources"], program["env"]) == ({"requests": {"cpu": "1"}}, [{"name": "A", "value": "b"}])
    assert pod["tolerations"] == [toleration]
    assert (pod["restartPolicy"], pod["automountServiceAccountToken"]) == ("Never", True)
    assert "initContainers" not in pod  # nobody has added one
    bare = pod_of(a_spec(("/nodeSelector", {"disk": "ssd"})))
    assert {**pod_of(a_spec()), "nodeSelector": {"disk": "ssd"}} == bare


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("/x/y", 1, "action 'score': nothing can be added at '/x/y' of its podSpec"),
        ("/containers/0/name", "other", "action 'score': its podSpec leaves no container 'program'"),
        ("/containers", [], "leaves no container 'program'"),
        ("/containers", 3, "leaves no container 'program'"),
        ("", [], "leaves no container 'program'"),
        ("/containers/-", {"name": "program"}, "leaves no container 'program'"),
        ("/volumes", {"name": "x"}, "'volumes' of its podSpec is not a list"),
    ],
)
def test_a_pod_spec_that_does_not_fit_is_an_error(path: str, value: Any, said: str) -> None:
    with pytest.raises(InvalidInput, match=re.escape(said)):
        manifest.job(a_spec((path, value)), WORDS, PLACE)


def test_a_queue_of_kueue_suspends_the_job_and_marks_its_pod() -> None:
    before, job = manifest.job(a_spec(), WORDS, PLACE), manifest.job(a_spec(), WORDS, replace(PLACE, queue="team"))
    assert job["spec"].pop("suspend") is True
    for part in (job, job["spec"]["template"]):
        assert part["metadata"]["labels"].pop("kueue.x-k8s.io/queue-name") == "team"
    assert job == before  # and without a queue nothing changes
    assert "suspend" not in before["spec"]
    assert "kueue" not in json.dumps(manifest.secret(a_spec(), WORDS, replace(PLACE, queue="team")))


PROXY = {"proxy.istio.io/config": '{"holdApplicationUntilProxyStarts": true}'}
SEED = {
    "ENVOY_ADMIN_API": "http://localhost:15000",
    "ISTIO_QUIT_API": "http://localhost:15020",
    "SCUTTLE_LOGGING": "false",
}
NATIVE = {"START_WITHOUT_ENVOY": "true", "NEVER_KILL_ISTIO": "true", "SCUTTLE_LOGGING": "false"}


@pytest.mark.parametrize(
    ("kind", "inject", "notes", "launched", "plain"),
    [
        (mesh.OFF, "false", {}, NO_MESH, NO_MESH),
        (mesh.SCUTTLE, "true", PROXY, {**SEED, "NEVER_KILL_ISTIO": "true"}, SEED),
        (mesh.NATIVE, "true", {"sidecar.istio.io/nativeSidecar": "true"}, NATIVE, NATIVE),
    ],
)
def test_a_mesh_has_annotations_and_the_variables_of_scuttle(
    kind: str, inject: str, notes: dict[str, str], launched: dict[str, str], plain: dict[str, str]
) -> None:
    place, spec = replace(PLACE, mesh=kind), a_spec()
    job = manifest.job(spec, WORDS, place)
    assert job["metadata"] == manifest.job(spec, WORDS, PLACE)["metadata"]
    metadata = job["spec"]["template"]["metadata"]
    assert metadata["labels"] == {**KEPT, INJECT: inject}
    assert metadata["annotations"] == {**NOTES, INJECT: inject, **notes}
    ours = {"PYTHONUNBUFFERED", "MODE", "CORTEX_TOKEN", "FABRIC_JOBS_ATTEMPT", "FABRIC_JOBS_WORKSPACE"}
    environment = manifest.order(spec, WORDS, place)["environment"]
    assert {key: value for key, value in environment.items() if key not in ours} == launched
    data = manifest.secret(spec, (), place)["stringData"]
    others = {*ours, "PYTHONPATH", "FABRIC_JOBS_ARGUMENT_0"}
    assert {key: value for key, value in data.items() if key not in others} == plain
    own = a_spec(environment={"START_WITHOUT_ENVOY": "no"})
    assert manifest.order(own, WORDS, place)["environment"]["START_WITHOUT_ENVOY"] == "no"


def test_settings_are_read_in_one_place(monkeypatch: pytest.MonkeyPatch) -> None:
    assert around("o", "http://x:1") == Around(owner="o", gateway="http://x:1")
    for name, value in {
        "QUEUE": "team-a",
        "MESH": "native",
        "SERVICE_ACCOUNT": "scorer",
        "PULL_SECRETS": "one, two.three",
        "NODE_SELECTOR": "disk=ssd, kubernetes.io/arch=amd64,empty=",
        "USER": "1000",
    }.items():
        monkeypatch.setenv(f"FABRIC_JOBS_KUBERNETES_{name}", value)
    assert around("o") == Around(
        owner="o",
        queue="team-a",
        mesh="native",
        service_account="scorer",
        pull_secrets=("one", "two.three"),
        node_selector={"disk": "ssd", "kubernetes.io/arch": "amd64", "empty": ""},
        user=1000,
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("QUEUE", "Team A"),
        ("MESH", "on"),
        ("SERVICE_ACCOUNT", "a/b"),
        ("PULL_SECRETS", "a,,b"),
        ("NODE_SELECTOR", "ssd"),
        ("NODE_SELECTOR", "disk=a b"),
        ("USER", "0"),
        ("USER", "nobody"),
    ],
)
def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"FABRIC_JOBS_KUBERNETES_{name}", value)
    with pytest.raises(InvalidInput, match=re.escape(f"FABRIC_JOBS_KUBERNETES_{name} is ")):
        around("o")

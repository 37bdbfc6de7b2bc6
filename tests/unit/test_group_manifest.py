"""The Job and the Secret of an attempt of several containers, as dicts."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from fabric_jobs.errors import InvalidInput
from fabric_jobs.executors.base import AttemptSpec, Health, Limits, ProcessSpec
from fabric_jobs.executors.kubernetes import group_manifest, manifest, mesh
from fabric_jobs.executors.kubernetes.around import Around

AROUND = Around(owner="0wner", gateway="http://10.0.0.1:8080")
WORDS = ("python", "-m", "cortex_worker")
WORKER = ProcessSpec(
    directory=None,
    image="python:3",
    command=WORDS,
    arguments=("{}",),
    environment={"FABRIC_JOBS_ATTEMPT": "12-1", "CORTEX_TOKEN": "a.b.c"},
)
COMMON = [
    {"name": "PYTHONUNBUFFERED", "value": "1"},
    {"name": "START_WITHOUT_ENVOY", "value": "true"},
    {"name": "SCUTTLE_LOGGING", "value": "false"},
]
OUR_SECURITY = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def process(*command: str, **more: Any) -> ProcessSpec:
    return ProcessSpec(**{"directory": None, "image": "app:1", "command": command, **more})


def group(*beside: ProcessSpec, **more: Any) -> AttemptSpec:
    given = {"shared": ("/mnt", "/cortex"), "files": {"worker.json": b"{}", "job.json": b'{"job_id": "7"}'}}
    given["placed"] = {"/cortex/spec/job.json": "job.json"}
    return AttemptSpec(name="flights-12-1", processes=(WORKER, *beside), **{**given, **more})


def pod_of(spec: AttemptSpec) -> dict[str, Any]:
    found: dict[str, Any] = group_manifest.job(spec, WORDS, AROUND)["spec"]["template"]["spec"]
    return found


def beside(spec: AttemptSpec) -> dict[str, Any]:
    """Return the container of the second process."""
    found: dict[str, Any] = pod_of(spec)["containers"][0]
    return found


def test_an_attempt_of_one_container_is_what_it_was() -> None:
    spec = AttemptSpec(name="a-1", processes=(WORKER,))
    assert group_manifest.job(spec, WORDS, AROUND) == manifest.job(spec, WORDS, AROUND)
    assert group_manifest.secret(spec, WORDS, AROUND) == manifest.secret(spec, WORDS, AROUND)


def test_the_worker_is_a_sidecar_and_the_others_are_the_containers() -> None:
    alone = AttemptSpec(name="flights-12-1", processes=(WORKER,))
    before = manifest.job(alone, WORDS, AROUND)["spec"]["template"]["spec"]
    pod = pod_of(group(process("serve", name="api")))
    (worker,) = pod.pop("initContainers")
    common = [
        {"name": "fj-shared-0", "mountPath": "/mnt"},
        {"name": "fj-shared-1", "mountPath": "/cortex"},
        {"name": "fj-placed", "mountPath": "/cortex/spec/job.json", "subPath": "placed.0", "readOnly": True},
    ]
    (container,) = before["containers"]
    assert worker == {
        **container,
        "restartPolicy": "Always",
        "volumeMounts": [*container["volumeMounts"], *common],
    }
    assert pod["containers"] == [
        {
            "name": "api",
            "image": "app:1",
            "imagePullPolicy": "IfNotPresent",
            "command": ["serve"],
            "env": COMMON,
            "securityContext": OUR_SECURITY,
            "volumeMounts": common,
        }
    ]
    name = manifest.job_name("0wner", "flights-12-1")
    assert pod["volumes"] == [
        *before["volumes"],
        {"name": "fj-shared-0", "emptyDir": {}},
        {"name": "fj-shared-1", "emptyDir": {}},
        {
            "name": "fj-placed",
            "secret": {
                "secretName": name,
                "items": [{"key": "placed.0", "path": "placed.0"}],
                "defaultMode": 0o444,
            },
        },
    ]
    assert pod["shareProcessNamespace"] is True
    assert {key: pod[key] for key in before if key not in ("containers", "volumes")} == {
        key: before[key] for key in before if key not in ("containers", "volumes")
    }


def test_the_secret_has_the_order_which_holds_once_and_what_is_placed() -> None:
    spec = group(process("serve"))
    found = group_manifest.secret(spec, WORDS, AROUND)
    order = json.loads(found["stringData"]["order.json"])
    assert order == {**manifest.order(spec, WORDS, AROUND), "once": True}
    assert order["files"] == ["job.json", "worker.json"]
    assert found["data"] == {"placed.0": base64.b64encode(b'{"job_id": "7"}').decode()}


def test_names_lead_home_and_low_ports_are_free_for_one_container_too() -> None:
    spec = AttemptSpec(name="a-1", processes=(WORKER,), hosts=("operator.default.svc.cluster.local", "b"))
    pod = pod_of(spec)
    assert pod["hostAliases"] == [{"ip": "127.0.0.1", "hostnames": ["operator.default.svc.cluster.local", "b"]}]
    assert pod["securityContext"]["sysctls"] == [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}


def test_texts_are_taken_as_they_are() -> None:
    found = beside(group(process("sh", "$(A) $$ $x")))
    assert found["command"] == ["sh", "$$(A) $$$ $x"]


def variables(spec: AttemptSpec, around: Around) -> dict[str, str]:
    """Return the variables of the second process, as the cluster reads them; the pod itself has no value of an API's own."""
    texts = group_manifest.secret(spec, WORDS, around)["stringData"]
    name = manifest.job_name(around.owner, spec.name)
    found = {}
    for each in group_manifest.job(spec, WORDS, around)["spec"]["template"]["spec"]["containers"][0]["env"]:
        if "value" in each:
            assert each["name"] not in spec.processes[1].environment
            found[each["name"]] = each["value"]
        else:
            assert each["valueFrom"]["secretKeyRef"]["name"] == name
            found[each["name"]] = texts[each["valueFrom"]["secretKeyRef"]["key"]]
    return found


def test_variables_of_an_api_are_in_the_secret_and_taken_as_they_are() -> None:
    own = {"B": "$(A)$", "A": "a secret", "PYTHONUNBUFFERED": ""}
    spec = group(process("serve", environment=own), process("other", environment={"A": "another"}))
    assert variables(spec, AROUND) == {**{each["name"]: each["value"] for each in COMMON}, **own}
    assert "a secret" not in json.dumps(group_manifest.job(spec, WORDS, AROUND))
    assert "another" in group_manifest.secret(spec, WORDS, AROUND)["stringData"].values()


def test_containers_beside_the_worker_have_what_a_mesh_and_a_user_need() -> None:
    around = Around(owner="0wner", gateway="http://10.0.0.1:8080", mesh="scuttle", user=1000)
    found = variables(group(process("serve")), around)
    assert found == {"PYTHONUNBUFFERED": "1", "HOME": "/tmp", **mesh.variables("scuttle", launched=True)}
    assert variables(group(process("serve", environment={"HOME": "/home"})), around)["HOME"] == "/home"


@pytest.mark.parametrize(
    ("limits", "resources"),
    [
        (Limits(), None),
        (Limits(memory=5), {"limits": {"memory": "5"}}),
        (Limits(gpu=1, reserved_cpu=0.2), {"limits": {"nvidia.com/gpu": "1"}, "requests": {"cpu": "200m"}}),
        (Limits(reserved_cpu=2), {"requests": {"cpu": "2000m"}}),
    ],
)
def test_each_container_has_its_own_resources(limits: Limits, resources: dict[str, Any] | None) -> None:
    assert beside(group(process("serve", limits=limits))).get("resources") == resources


def test_shared_memory_is_a_volume_of_its_own() -> None:
    spec = group(process("a", limits=Limits(shm=1 << 20)), process("b", limits=Limits(shm=2 << 20)))
    pod = pod_of(spec)
    assert [each["volumeMounts"][0] for each in pod["containers"]] == [
        {"name": "fj-shm-1", "mountPath": "/dev/shm"},
        {"name": "fj-shm-2", "mountPath": "/dev/shm"},
    ]
    assert pod["volumes"][-2:] == [
        {"name": "fj-shm-1", "emptyDir": {"medium": "Memory", "sizeLimit": str(1 << 20)}},
        {"name": "fj-shm-2", "emptyDir": {"medium": "Memory", "sizeLimit": str(2 << 20)}},
    ]


def test_a_health_check_is_a_liveness_probe_in_whole_seconds() -> None:
    check = Health(("test", "-f", "/x"), delay=0.5, period=0.1, timeout=2.5, failures=0)
    assert beside(group(process("serve", health=check)))["livenessProbe"] == {
        "exec": {"command": ["test", "-f", "/x"]},
        "initialDelaySeconds": 1,
        "periodSeconds": 1,
        "timeoutSeconds": 3,
        "failureThreshold": 1,
        "terminationGracePeriodSeconds": 1,
    }


def test_names_of_containers_are_those_of_the_api_and_never_the_same() -> None:
    spec = group(*(process("x", name=name) for name in ("api", "", "API", "program")))
    assert group_manifest.container_names(spec) == ("program", "api", "container-2", "api-3", "program-4")


def test_a_pod_spec_is_added_to_the_worker_and_the_pod() -> None:
    adds: tuple[dict[str, Any], ...] = (
        {"path": "/containers/0/resources", "value": {"requests": {"cpu": "1"}}},
        {"path": "/nodeSelector", "value": {"disk": "ssd"}},
    )
    worker = ProcessSpec(directory=None, image="python:3", command=WORDS, pod_spec=adds)
    spec = AttemptSpec(name="a-1", processes=(worker, process("serve")))
    pod = pod_of(spec)
    assert pod["initContainers"][0]["resources"] == {"requests": {"cpu": "1"}}
    assert pod["nodeSelector"] == {"disk": "ssd"}


def test_the_first_of_several_needs_a_command() -> None:
    with pytest.raises(InvalidInput, match="the first of several programs needs a command"):
        group_manifest.job(group(process("serve")), (), AROUND)

"""The objects of a gateway in a cluster: what is chosen is in them, and they ask for no more than they need."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

import fabric_jobs
from fabric_jobs import deployment, shipped, state_dir
from fabric_jobs.cli.deploy import kubernetes
from fabric_jobs.deployment import Installation
from fabric_jobs.errors import InvalidInput
from fabric_jobs.executors.kubernetes.rights import RIGHTS, rules
from tests.kubernetes_place import KUBECTL, kubectl

DIGEST = f"sha256:{'a' * 64}"


def of_kind(kind: str, wanted: Installation | None = None) -> dict[str, Any]:
    """Return the object of a kind."""
    return next(found for found in deployment.objects(wanted or Installation()) if found["kind"] == kind)


def pod() -> dict[str, Any]:
    """Return the pod of the gateway."""
    found: dict[str, Any] = of_kind("StatefulSet")["spec"]["template"]["spec"]
    return found


def test_the_role_grants_what_the_executor_needs_and_nothing_else() -> None:
    assert of_kind("Role")["rules"] == rules()
    assert not any("*" in right for right in RIGHTS)


def test_every_object_is_in_the_namespace_so_none_needs_rights_outside_it() -> None:
    found = deployment.objects(Installation(namespace="lab"))
    assert {each["metadata"]["namespace"] for each in found} == {"lab"}
    assert of_kind("RoleBinding", Installation(namespace="lab"))["subjects"][0]["namespace"] == "lab"
    assert {each["kind"] for each in found} == set(deployment.KINDS)
    files = {path.name for path in shipped.deployment_dir().glob("*.yaml")} - {"kustomization.yaml"}
    assert len(files) == len(found)


def test_image_and_volume_are_as_chosen() -> None:
    wanted = Installation("lab", f"registry.example.org:5000/fabric-jobs@{DIGEST}", "20Gi", "ssd")
    spec = of_kind("StatefulSet", wanted)["spec"]
    assert spec["template"]["spec"]["containers"][0]["image"] == wanted.image
    claim = spec["volumeClaimTemplates"][0]["spec"]
    assert (claim["resources"]["requests"]["storage"], claim["storageClassName"]) == ("20Gi", "ssd")


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (Installation(namespace="Lab"), "--namespace cannot be 'Lab'"),
        (Installation(image="fabric-jobs@sha256:abc"), "--image cannot be 'fabric-jobs@sha256:abc'"),
        (Installation(image="two words"), "--image cannot be 'two words'"),
        (Installation(storage="1GB"), "--storage cannot be '1GB'"),
        (Installation(storage="0Gi"), "--storage cannot be '0Gi'"),
        (Installation(storage_class="_"), "--storage-class cannot be '_'"),
    ],
)
def test_what_the_cluster_would_refuse_is_refused_here(wanted: Installation, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        deployment.objects(wanted)


def test_applying_needs_an_image_that_nodes_can_pull() -> None:
    ran = CliRunner().invoke(kubernetes, ["--apply"])
    assert ran.exit_code == 2
    assert "such as --image registry.example.org/fabric-jobs@sha256:…" in ran.stderr
    ran = CliRunner().invoke(kubernetes, ["--namespace", "lab"])
    assert "Next: fabric-jobs deploy kubernetes --namespace lab --image IMAGE --apply\n" in ran.stderr


def test_a_first_pod_that_does_not_start_can_be_replaced() -> None:
    assert of_kind("StatefulSet")["spec"]["podManagementPolicy"] == "Parallel"


def test_two_gateways_never_share_a_state() -> None:
    spec = of_kind("StatefulSet")["spec"]
    assert spec["replicas"] == 1
    assert spec["volumeClaimTemplates"][0]["spec"]["accessModes"] == ["ReadWriteOnce"]
    assert f"{of_kind('StatefulSet')['metadata']['name']}-0" == deployment.POD


def test_the_pod_meets_the_restricted_standard_with_nothing_to_write_but_its_state() -> None:
    (container,) = pod()["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    around = pod()["securityContext"]
    assert around["runAsNonRoot"] is True
    assert around["seccompProfile"] == {"type": "RuntimeDefault"}
    assert {mount["mountPath"] for mount in container["volumeMounts"]} == {"/var/lib/fabric-jobs", "/tmp"}
    assert {"name": "FABRIC_JOBS_KUBERNETES_USER", "value": str(around["runAsUser"])} in container["env"]


def test_files_and_code_name_the_same_version_port_and_paths() -> None:
    (container,) = pod()["containers"]
    port = deployment.PORT
    dockerfile = (Path(__file__).parents[2] / "Dockerfile").read_text()
    assert container["image"] == f"fabric-jobs:{fabric_jobs.__version__}"
    assert f"--port={port}" in container["args"]
    assert f"--advertise=http://fabric-jobs.$(NAMESPACE).svc:{port}" in container["args"]
    assert container["ports"] == [{"name": "http", "containerPort": port}]
    assert of_kind("Service")["spec"]["ports"][0]["port"] == port
    assert f"EXPOSE {port}\n" in dockerfile
    assert f"USER {pod()['securityContext']['runAsUser']}:" in dockerfile
    assert "FABRIC_JOBS_STATE_DIR=/var/lib/fabric-jobs/state\n" in dockerfile  # below the volume, see there


@pytest.mark.skipif(not Path(KUBECTL).exists() and not shutil.which(KUBECTL), reason="there is no kubectl command")
def test_kubectl_makes_the_same_of_the_files() -> None:
    made = yaml.safe_load_all(kubectl("kustomize", str(shipped.deployment_dir())).stdout)
    ours = deployment.objects(Installation())
    assert sorted(map(_key, made)) == sorted(map(_key, ours))


def _key(found: dict[str, Any]) -> str:
    return json.dumps(found, sort_keys=True)


def test_a_volume_is_known_again_on_another_node(monkeypatch: pytest.MonkeyPatch) -> None:
    assert state_dir.mark_of((1, 7)) != state_dir.mark_of((2, 7))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    assert state_dir.mark_of((1, 7)) == state_dir.mark_of((2, 7))
    assert state_dir.mark_of((1, 7)) != state_dir.mark_of((1, 8))

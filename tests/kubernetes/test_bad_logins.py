"""Clusters that cannot be used: `skills invoke` and `doctor` say at once what is wrong, and what to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from fabric_jobs.executors.kubernetes import rights
from tests.acceptance.live import Ran
from tests.executors.test_kubernetes_route import login_with
from tests.kubernetes.live import KubernetesLive
from tests.kubernetes_place import KUBECONFIG, kubectl, needs_cluster, until

pytestmark = needs_cluster


@pytest.fixture
def live(live: KubernetesLive) -> KubernetesLive:
    """Return a workspace with a skill."""
    live.inline("hello", "print('hello', end='')")
    return live


def changed(path: Path, **user: Any) -> Path:
    """Write a kubeconfig of the cluster with another user."""
    config = yaml.safe_load(Path(KUBECONFIG).read_text())
    config["users"] = [{**each, "user": user} for each in config["users"]]
    path.write_text(yaml.safe_dump(config))
    return path


def refused(live: KubernetesLive, **environment: Any) -> Ran:
    """Invoke the skill; it must fail as a place that is unavailable, and the doctor must find the same."""
    live.environment |= {name: str(value) for name, value in environment.items()}
    ran = live.run("skills", "invoke", "hello", "--payload", "1")
    assert ran.code == 5, ran
    assert len(ran.err.strip().splitlines()) <= 3, ran
    found = json.loads(live.run("doctor", "--output", "json").out)
    worst = [each for each in found if each["check"] == "kubernetes" and each["level"] == "problem"]
    assert [each["message"] for each in worst if each["message"].rstrip(".") in ran.err], (ran, worst)
    return ran


def test_a_missing_file(live: KubernetesLive, tmp_path: Path) -> None:
    ran = refused(live, KUBECONFIG=tmp_path / "nowhere")
    assert f"no cluster is configured: there is no file {tmp_path / 'nowhere'}." in ran.err


def test_an_unknown_context(live: KubernetesLive) -> None:
    assert "has no context 'work'; it has " in refused(live, FABRIC_JOBS_KUBERNETES_CONTEXT="work").err


def test_an_expired_token(live: KubernetesLive, tmp_path: Path) -> None:
    ran = refused(live, KUBECONFIG=changed(tmp_path / "config", token="expired"))
    assert "the cluster does not accept this user: Unauthorized." in ran.err
    assert "Log in again" in ran.err


def test_a_login_program_that_fails(live: KubernetesLive, tmp_path: Path) -> None:
    wanted = {"apiVersion": "client.authentication.k8s.io/v1", "command": "/bin/sh"}
    wanted["args"] = ["-c", "echo 'session is over' >&2; exit 1"]  # type: ignore[assignment]
    ran = refused(live, KUBECONFIG=changed(tmp_path / "config", exec=wanted))
    assert "the login program of the cluster, '/bin/sh', fails: session is over." in ran.err


def test_a_cluster_that_is_away(live: KubernetesLive, tmp_path: Path) -> None:
    text = Path(KUBECONFIG).read_text().replace(":6443", ":1")
    (tmp_path / "config").write_text(text)
    assert "does not answer: Connection refused." in refused(live, KUBECONFIG=tmp_path / "config").err


def test_a_missing_namespace(live: KubernetesLive) -> None:
    ran = refused(live, FABRIC_JOBS_KUBERNETES_NAMESPACE="no-such-namespace")
    assert 'namespaces "no-such-namespace" not found' in ran.err
    assert "Create the namespace" in ran.err


def test_missing_rights_and_then_enough(live: KubernetesLive, tmp_path: Path) -> None:
    some = [right for right in rights.RIGHTS if (right.verb, right.resource) != ("create", "jobs")]
    login_with(live.namespace, rights.rules(some), tmp_path / "few")
    ran = refused(live, KUBECONFIG=tmp_path / "few")
    assert f"this user may not create jobs.batch in namespace {live.namespace}." in ran.err
    kubectl("delete", "role", "few", "--namespace", live.namespace)
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "few"}}
    kubectl("create", "-n", live.namespace, "-f", "-", input=json.dumps({**role, "rules": rights.rules()}))
    kubectl("run", "one", "--image=rig.local/pause:1", "--namespace", live.namespace)  # which tells the node's address
    path = "jsonpath={.status.hostIP}"
    until(lambda: kubectl("get", "pod", "one", "-n", live.namespace, "-o", path).stdout, "its node is known")
    assert live.invoke("hello")["response"] == "hello"

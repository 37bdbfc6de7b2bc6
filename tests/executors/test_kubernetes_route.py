"""The way from pods to the gateway, rights that are missing, and a runtime layer that was deleted, on a real cluster."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import yaml

from fabric_jobs.errors import InvalidInput
from fabric_jobs.executors.base import REFUSED, AttemptExit
from fabric_jobs.executors.kubernetes import layer, proof, readiness, rights, route
from fabric_jobs.executors.kubernetes.around import Around
from fabric_jobs.kubernetes.cluster import Cluster, Where
from fabric_jobs.kubernetes.failures import Rejected, RightMissing
from fabric_jobs.kubernetes.loop import CallLoop
from tests.executors.contract import ended
from tests.executors.kubernetes_driver import KubernetesDriver, spec_of
from tests.executors.kubernetes_driver import kubernetes_driver as kubernetes_driver
from tests.executors.kubernetes_driver import probed as probed
from tests.kubernetes_place import BASE_IMAGE, KUBECONFIG, a_namespace, found, kubectl, needs_cluster, until
from tests.kubernetes_place import namespace as namespace

pytestmark = needs_cluster

NOBODY = "http://127.0.0.1:9"  # from inside a pod, nothing listens there


def asked(question: Callable[[Cluster], Coroutine[Any, Any, Any]]) -> Any:
    """Ask the cluster something."""

    loop, clusters = CallLoop("test"), list[Cluster]()

    async def ask() -> Any:
        clusters.append(Cluster(Where()))
        return await question(clusters[0])

    try:
        return loop.ask(ask, 60.0)
    finally:
        loop.close(lambda: clusters[0].close())


def login_with(namespace: str, rules: list[dict[str, Any]], file: Path) -> None:
    """Write the kubeconfig of a service account that has these rights."""
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "few"}, "rules": rules}
    kubectl("create", "serviceaccount", "few", "--namespace", namespace)
    kubectl("create", "--namespace", namespace, "--filename", "-", input=json.dumps(role))
    kubectl("create", "rolebinding", "few", "--role=few", f"--serviceaccount={namespace}:few", "--namespace", namespace)
    config = yaml.safe_load(Path(KUBECONFIG).read_text())
    token = kubectl("create", "token", "few", "--namespace", namespace).stdout.strip()
    config["users"] = [{**user, "user": {"token": token}} for user in config["users"]]
    file.write_text(yaml.safe_dump(config))


# The way to the gateway


@pytest.mark.usefixtures("probed")
def test_pods_that_cannot_reach_the_gateway_fail_with_what_to_do(driver: KubernetesDriver) -> None:
    driver.counter.advertised = NOBODY
    executor = driver.again()
    handle = executor.start(spec_of("/bin/sleep", "600"))
    found = ended(executor, handle)
    assert (found.code, found.reason) == (None, REFUSED)
    assert f"cannot reach this gateway at {NOBODY}: " in found.cause
    assert "refused" in found.cause.lower()
    assert "--advertise http://HOST:PORT" in found.cause
    until(lambda: not driver.objects("jobs,secrets"), "nothing is left but a launcher that asks for the gateway")
    until(lambda: not probes(driver), "no probe is left")


@pytest.mark.usefixtures("probed")
def test_one_probe_is_enough(driver: KubernetesDriver) -> None:
    for number in range(3):
        assert driver.run(spec_of("/bin/true", name=f"attempt-{number}"))[0] == AttemptExit(0)
    until(lambda: not probes(driver), "no probe is left")
    events = found("events", driver.namespace)
    made = {event["involvedObject"]["name"] for event in events if event["involvedObject"]["kind"] == "Job"}
    assert len([name for name in made if "-probe-" in name]) == 1


def test_an_image_without_python_proves_nothing(namespace: str) -> None:
    around = Around(owner="0123456789", gateway=NOBODY)
    why = asked(lambda cluster: proof.prove(cluster, "rig.local/busybox:1", around))
    assert '"python3": executable file not found' in why
    with pytest.raises(InvalidInput, match="cannot reach this gateway"):
        asked(lambda cluster: proof.prove(cluster, BASE_IMAGE, around))
    until(lambda: not found("jobs", namespace), "no probe is left")


def test_an_image_that_does_not_exist_proves_nothing(namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof, "PATIENCE_SECONDS", 2.0)
    around = Around(owner="0123456789", gateway=NOBODY)
    assert asked(lambda cluster: proof.prove(cluster, "no/such:image", around)) != ""
    until(lambda: not found("jobs", namespace), "no probe is left")


def test_nodes_or_else_pods_tell_where_this_machine_is(
    namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_nodes = asked(lambda cluster: _addresses(cluster))
    login_with(namespace, rights.rules(), tmp_path / "few.kubeconfig")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "few.kubeconfig"))
    assert asked(lambda cluster: _addresses(cluster)) == ["127.0.0.1"]  # that of the API server
    kubectl("run", "one", "--image=rig.local/pause:1", "--namespace", namespace)
    until(lambda: found("pods", namespace)[0]["status"].get("hostIP"), "its node is known")
    assert asked(lambda cluster: _addresses(cluster)) == by_nodes


async def _addresses(cluster: Cluster) -> list[str]:
    await cluster.list("pods")
    return await route.addresses(cluster)


# Rights and namespaces


def test_the_rights_in_the_table_are_enough_to_be_ready(
    namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    login_with(namespace, rights.rules(), tmp_path / "few.kubeconfig")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "few.kubeconfig"))
    asked(readiness.check)


def test_missing_rights_are_named(namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lacking = {("create", "jobs"), ("get", "pods/log")}
    some = [right for right in rights.RIGHTS if (right.verb, right.resource) not in lacking]
    login_with(namespace, rights.rules(some), tmp_path / "few.kubeconfig")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "few.kubeconfig"))
    with pytest.raises(RightMissing) as caught:
        asked(readiness.check)
    assert caught.value.message == f"this user may not create jobs.batch, get pods/log in namespace {namespace}."


def test_a_namespace_that_is_missing_or_ends_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FABRIC_JOBS_KUBERNETES_NAMESPACE", "no-such-namespace")
    with pytest.raises(Rejected, match='namespaces "no-such-namespace" not found'):
        asked(readiness.check)
    with a_namespace() as name:
        monkeypatch.setenv("FABRIC_JOBS_KUBERNETES_NAMESPACE", name)
        held = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "held", "finalizers": ["test.fabric/held"]},
        }
        kubectl("create", "--namespace", name, "--filename", "-", input=json.dumps(held))
        try:
            kubectl("delete", "namespace", name, "--wait=false")
            with pytest.raises(Rejected, match=f"the namespace '{name}' is being deleted"):
                asked(readiness.check)
        finally:
            free = '{"metadata": {"finalizers": null}}'
            kubectl("patch", "configmap", "held", "--namespace", name, "--type=merge", "--patch", free)


# The runtime layer


@pytest.mark.early
def test_a_runtime_layer_that_was_deleted_is_made_again(
    driver: KubernetesDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    repair = route.Route.repair

    async def noted(way: route.Route, why: str) -> None:
        said.append(why)
        await repair(way, why)

    monkeypatch.setattr(route.Route, "repair", noted)
    driver.executor.inside("attempt-1")
    site = driver.executor._controller._site
    assert site is not None
    site.route._is_furnished = (
        True  # it was made, and was deleted since; a node may remember one that its pods have used
    )
    handle = driver.executor.start(spec_of("/bin/true"))
    assert ended(driver.executor, handle) == AttemptExit(0)
    assert [why for why in said if "FailedMount" in why and layer.name() in why], said


def test_older_runtime_layers_are_swept_unless_a_pod_uses_them(
    driver: KubernetesDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(route, "OLD_SECONDS", -3600.0)
    labels = {"app.kubernetes.io/managed-by": "fabric-jobs"}
    for name in (f"{layer.PREFIX}old", f"{layer.PREFIX}used"):
        made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": labels}}
        kubectl("create", "--namespace", driver.namespace, "--filename", "-", input=json.dumps(made))
    volumes = [{"name": "x", "configMap": {"name": f"{layer.PREFIX}used"}}]
    pod: dict[str, Any] = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "user", "labels": labels}}
    pod["spec"] = {"containers": [{"name": "a", "image": "rig.local/pause:1"}], "volumes": volumes}
    kubectl("create", "--namespace", driver.namespace, "--filename", "-", input=json.dumps(pod))
    other = spec_of("/bin/true")
    assert ended(driver.executor, driver.executor.start(other)) == AttemptExit(0)
    until(lambda: layers(driver) == {f"{layer.PREFIX}used", layer.name()}, "the old one is gone")


def layers(driver: KubernetesDriver) -> set[str]:
    """Return the names of the runtime layers that are there."""
    names = {each["metadata"]["name"] for each in found("configmaps", driver.namespace)}
    return {name for name in names if name.startswith(layer.PREFIX)}


def probes(driver: KubernetesDriver) -> list[dict[str, Any]]:
    """Return what there is of probes."""
    return found("jobs,pods", driver.namespace, proof.LABEL)

"""Every right of the table is needed: without it, what needs it fails and names it. All of them together suffice."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from fabric_jobs.errors import ExecutorUnavailable
from fabric_jobs.executors.base import AttemptSpec
from fabric_jobs.executors.kubernetes import KubernetesExecutor, layer
from fabric_jobs.executors.kubernetes.manifest import ATTEMPT, MANAGED, MANAGER, OWNER
from fabric_jobs.executors.kubernetes.owner import owner_of
from fabric_jobs.executors.kubernetes.rights import RIGHTS, Right, rules
from fabric_jobs.executors.kubernetes.route import Route, way_to
from fabric_jobs.kubernetes.cluster import Cluster
from fabric_jobs.kubernetes.failures import RightMissing
from tests.executors.kubernetes_driver import Counter, spec_of, unproved
from tests.kubernetes_place import ADDRESSES, KUBECONFIG, a_namespace, found, kubectl, needs_cluster

pytestmark = needs_cluster

SECONDS = 30.0
GROUP = "rbac.authorization.k8s.io"


@pytest.fixture(scope="module")
def place() -> Iterator[str]:
    """Yield a namespace."""
    with a_namespace() as namespace:
        yield namespace


class Account:
    """An executor whose user has some rights, and what it hears of missing ones."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch, namespace: str, rights: tuple[Right, ...]):
        self.heard: list[str] = []
        self.namespace = namespace
        self.root = directory / "attempts"
        self.root.mkdir()
        monkeypatch.setenv("KUBECONFIG", str(log_in(directory, namespace, rights)))
        monkeypatch.setenv("FABRIC_JOBS_KUBERNETES_NAMESPACE", namespace)
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "kubernetes")  # as in a pod, for which the rights are
        monkeypatch.setattr(Cluster, "is_around", True)
        _note_in(self.heard, monkeypatch)
        monkeypatch.setattr("fabric_jobs.executors.kubernetes.route.OLD_SECONDS", -60.0)  # every layer is old enough
        self._doors = Counter(self.root)
        self._doors.advertised = self._doors.listen(own_address())
        self.executor = KubernetesExecutor(self.root, self._doors)

    def until(self, look: Callable[[], object]) -> bool:
        """Wait until `look` is true; return False as soon as a right is missing."""
        deadline = time.monotonic() + SECONDS
        while not self.heard:
            with suppress(RightMissing):  # noted
                if look():
                    return True
            assert time.monotonic() < deadline, "it never happened"
            time.sleep(0.05)
        return False

    def close(self) -> None:
        """Close the executor, and the server that its pods call."""
        self.executor.close()
        self._doors.close()


def _note_in(heard: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Note what is said of every missing right, wherever the error ends."""
    made = RightMissing.__init__

    def noting(error: RightMissing, message: str, *, hint: str = "") -> None:
        if '"namespaces"' not in message:  # asked for, but not needed
            heard.append(message)
        made(error, message, hint=hint)

    monkeypatch.setattr(RightMissing, "__init__", noting)


def log_in(directory: Path, namespace: str, rights: tuple[Right, ...]) -> Path:
    """Make a user with some rights; return a kubeconfig of it."""
    name = directory.name.replace("_", "-").lower()[:40].strip("-")
    metadata = {"name": name, "namespace": namespace}
    subject = {"kind": "ServiceAccount", **metadata}
    role = {"apiGroup": GROUP, "kind": "Role", "name": name}
    create(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
        {"apiVersion": f"{GROUP}/v1", "kind": "Role", "metadata": metadata, "rules": rules(rights)},
        {
            "apiVersion": f"{GROUP}/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "subjects": [subject],
            "roleRef": role,
        },
    )
    token = kubectl("create", "token", name, "--namespace", namespace).stdout.strip()
    config = yaml.safe_load(Path(KUBECONFIG).read_text())
    for user in config["users"]:
        user["user"] = {"token": token}
    file = directory / "kubeconfig"
    file.write_text(yaml.safe_dump(config))
    return file


def create(*objects: dict[str, Any]) -> None:
    """Create objects, as the user who may do everything."""
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    kubectl("create", "--filename", "-", input=text)


def own_address() -> str:
    """Return this machine's address on the way to the nodes."""
    addresses = kubectl("get", "nodes", "--output", ADDRESSES).stdout.split()
    return next(own for own in map(way_to, addresses) if own)


# What an executor does. Each returns whether it may go on.


def sweep(account: Account) -> bool:
    """Delete what a killed gateway has left."""
    labels = {MANAGED: MANAGER, OWNER: owner_of(account.root)}
    mark = uuid.uuid4().hex[:12]
    metadata = {
        "name": f"left-{mark}",
        "namespace": account.namespace,
        "labels": labels,
        "annotations": {ATTEMPT: "left"},
    }
    pod = {"restartPolicy": "Never", "containers": [{"name": "one", "image": "no-image"}]}
    template = {"metadata": {"labels": {"of": "left"}}, "spec": pod}
    selector = {"matchLabels": {"of": "left"}}
    always = {**template, "spec": {**pod, "restartPolicy": "Always"}}
    create(
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": metadata,
            "spec": {"suspend": True, "template": template},
        },
        {"apiVersion": "v1", "kind": "Secret", "metadata": metadata},
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"ports": [{"port": 80}]}},
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata,
            "spec": {"replicas": 0, "selector": selector, "template": always},
        },
    )
    kubectl("delete", "configmaps", "--namespace", account.namespace, "--selector", f"{MANAGED}={MANAGER}")
    create(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {**metadata, "name": f"{layer.PREFIX}{mark}"},
            "immutable": True,
        }
    )
    account.executor.inside("nothing")  # opens it
    kinds = "jobs,secrets,services,deployments"
    return account.until(lambda: not found(kinds, account.namespace, f"{OWNER}={labels[OWNER]}"))


def run(account: Account) -> bool:
    """Run a program that the runtime layer starts, to its end, and delete the runtime layer of another version."""
    if not ended(account, spec_of("python3", "-c", "print('seen')", name="launched")):
        return False
    return account.until(lambda: len(found("configmaps", account.namespace, f"{MANAGED}={MANAGER}")) == 1)


def run_plainly(account: Account) -> bool:
    """Run the program of an image without the runtime layer."""
    return ended(account, spec_of(name="plain", arguments=("sh", "-c", "echo seen")))


def stop(account: Account) -> bool:
    """Stop a running program."""
    spec = spec_of("sleep", "600", name="stopped")
    handle = account.executor.start(spec)
    if not account.until(lambda: [pod["status"]["phase"] for pod in found_of(account, "pods", spec)] == ["Running"]):
        return False
    account.executor.stop(handle, 0.5)
    return account.until(lambda: account.executor.poll(handle))


def wait_in_vain(account: Account) -> bool:
    """Find out why there is no pod."""
    spec = spec_of("true", name="hopeless", pod_spec=({"path": "/serviceAccountName", "value": "nobody"},))
    handle = account.executor.start(spec)
    if not account.until(lambda: "nobody" in account.executor.note(handle).doing):
        return False
    account.executor.stop(handle, 0.5)
    return account.until(lambda: account.executor.poll(handle))


def listen(account: Account) -> bool:
    """Run a daemon until it listens, and stop it."""
    serving = spec_of("python3", "-m", "http.server", "8000", name="daemon", port=8000)
    handle = account.executor.start(replace(serving, replicas=1))
    if not account.until(lambda: has_address(account, handle)):
        return False
    account.executor.stop(handle, 0.5)
    return account.until(lambda: account.executor.poll(handle))


def ended(account: Account, spec: AttemptSpec) -> bool:
    """Run an attempt to its end, and wait until nothing of it is left."""
    handle = account.executor.start(spec)
    if not account.until(lambda: account.executor.poll(handle)):
        return False
    return account.until(lambda: not found_of(account, "jobs,secrets", spec))


def found_of(account: Account, kinds: str, spec: AttemptSpec) -> list[dict[str, Any]]:
    """Return what there is of an attempt."""
    return found(kinds, account.namespace, f"{ATTEMPT}={spec.name},{OWNER}={owner_of(account.root)}")


async def unchecked(cluster: Cluster) -> None:
    """Let operations find out for themselves what is missing."""


def has_address(account: Account, handle: str) -> bool:
    """Tell whether a daemon listens."""
    with suppress(ExecutorUnavailable):
        return bool(account.executor.address(handle))
    return False


EVERYTHING = (sweep, run, run_plainly, stop, wait_in_vain, listen)
NEEDED_BY = {
    "events": (wait_in_vain,),
    "pods/log": (run_plainly,),
    "deployments": (sweep, listen),
    "services": (sweep, listen),
}


def test_the_rights_suffice(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    account = Account(tmp_path, monkeypatch, place, RIGHTS)
    try:
        done = [step.__name__ for step in EVERYTHING if step(account)]
        assert account.heard == []
        assert len(done) == len(EVERYTHING)
    finally:
        account.close()


@pytest.mark.parametrize("right", RIGHTS, ids=str)
def test_each_right_is_needed(right: Right, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    account = Account(tmp_path, monkeypatch, place, tuple(other for other in RIGHTS if other != right))
    try:
        first = KubernetesExecutor(account.root)
        with pytest.raises(RightMissing, match=f"this user may not {right} in namespace"):
            first.inside("nothing")  # it is looked for before the first attempt
        first.close()
        monkeypatch.setattr("fabric_jobs.executors.kubernetes.readiness.check", unchecked)
        monkeypatch.setattr(Route, "prove", unproved)  # which needs no right of its own
        account.heard.clear()
        for step in NEEDED_BY.get(right.resource, EVERYTHING):
            if not step(account):
                break
        assert account.heard, f"nothing needs the right to {right}"
        resource = f'cannot {right.verb} resource "{right.resource}" in API group "{right.group}"'
        assert resource in account.heard[0]
        assert account.heard[0].startswith("a right is missing: ")
    finally:
        account.close()

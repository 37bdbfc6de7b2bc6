"""The gateway as a pod: deployed by the command, used from outside, deleted while a job runs."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from fabric_jobs import shipped
from tests.acceptance.live import Live
from tests.docker_place import BASE_IMAGE, docker, missing_engine
from tests.kubernetes_place import (
    KUBECTL,
    LOAD_IMAGE,
    a_namespace,
    config_of_nobody,
    found,
    kubectl,
    missing_loader,
    needs_cluster,
    until,
)
from tests.tcp_proxy import held_port

REASON = missing_engine() or missing_loader()
pytestmark = [*needs_cluster, pytest.mark.docker, pytest.mark.skipif(bool(REASON), reason=REASON)]

ROOT = Path(__file__).parents[2]
POD = "fabric-jobs-0"
USER = 65532
SECONDS = 20  # of a job
RESTRICTED = [f"pod-security.kubernetes.io/{mode}=restricted" for mode in ("enforce", "warn")]
VOLUME = {
    "apiVersion": "v1",
    "kind": "PersistentVolume",
    "spec": {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "persistentVolumeReclaimPolicy": "Retain",
        "storageClassName": "",
    },
}
PROGRAM = f"""\
import sys, time
for number in range({SECONDS}):
    print(number, flush=True)
    print("told on stderr", file=sys.stderr, flush=True)
    time.sleep(1)
"""


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    """Build the image of the gateway, put it into the cluster, and yield its name."""
    name = "fabric-jobs-test:gateway"  # always the same, since it stays in the cluster
    words = ("make", "image", f"IMAGE={name}", f"BASE_IMAGE={BASE_IMAGE}")
    subprocess.run(words, cwd=ROOT, check=True, capture_output=True)
    saved = subprocess.Popen(["docker", "save", name], stdout=subprocess.PIPE)
    subprocess.run([LOAD_IMAGE, "-"], stdin=saved.stdout, check=True, capture_output=True)
    assert saved.wait() == 0
    assert saved.stdout is not None
    saved.stdout.close()
    yield name
    docker("image", "rm", name, check=False)


@pytest.fixture(name="namespace")
def restricted_namespace() -> Iterator[str]:
    """Yield a namespace that admits no pod with more than the least rights."""
    with a_namespace() as name:
        kubectl("label", "namespace", name, *RESTRICTED)
        yield name


class Forward:
    """A way to the gateway from outside the cluster, also to its next pod."""

    def __init__(self, namespace: str) -> None:
        self._held = held_port()
        self.port = self._held.getsockname()[1]
        self._words = [KUBECTL, "--namespace", namespace, "port-forward", "service/fabric-jobs", f"{self.port}:8420"]
        self._is_over = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    @property
    def url(self) -> str:
        """The address at which the gateway is reached."""
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        """Close it."""
        self._is_over.set()
        if self._process is not None:
            self._process.kill()
        self._thread.join()
        self._held.close()

    def _run(self) -> None:
        while not self._is_over.is_set():
            silent = subprocess.DEVNULL
            with subprocess.Popen(self._words, stdin=silent, stdout=silent, stderr=silent) as self._process:
                if self._is_over.is_set():
                    self._process.kill()
                self._process.wait()
            self._is_over.wait(0.2)


@pytest.fixture
def forward(namespace: str) -> Iterator[Forward]:
    """Yield a way to the gateway of the namespace."""
    made = Forward(namespace)
    yield made
    made.close()


@pytest.fixture
def volume(namespace: str, tmp_path: Path) -> Iterator[Path]:
    """Make a volume for the claim of the gateway's state: a directory of this machine, which is the node."""
    if os.getuid() != 0:
        pytest.skip("only root can give a directory to the user of the gateway")
    directory = tmp_path / "volume"
    directory.mkdir()
    directory.chmod(0o2770)
    os.chown(directory, USER, USER)
    name = f"{namespace}-state"
    claim = {"namespace": namespace, "name": f"state-{POD}"}
    body: dict[str, Any] = {**VOLUME, "metadata": {"name": name}}
    body["spec"] = {**body["spec"], "hostPath": {"path": str(directory)}, "claimRef": claim}
    kubectl("create", "--filename", "-", input=json.dumps(body))
    yield directory
    kubectl("delete", "persistentvolume", name, "--wait=false")


@pytest.fixture
def laptop(tmp_path: Path) -> Iterator[Live]:
    """Yield a workspace that has no owner of its own."""
    made = Live(tmp_path / "laptop")
    yield made
    made.close()


def test_kubectl_applies_the_files(namespace: str, tmp_path: Path) -> None:
    place = tmp_path / "overlay"
    place.mkdir()
    base = os.path.relpath(shipped.deployment_dir(), place)
    image = {"name": "fabric-jobs", "newName": "registry.example.org/fabric-jobs", "digest": f"sha256:{'a' * 64}"}
    overlay = {"resources": [base], "namespace": namespace, "images": [image]}
    (place / "kustomization.yaml").write_text(json.dumps(overlay))
    said = kubectl("apply", "--kustomize", str(place), "--dry-run=server")
    assert len(said.stdout.splitlines()) == 8
    assert "statefulset.apps/fabric-jobs created (server dry run)" in said.stdout
    assert said.stderr == ""  # also no warning about the pod's rights


def test_without_its_namespace_it_says_what_to_do(laptop: Live) -> None:
    name = f"absent-{secrets.token_hex(4)}"
    said = laptop.fails(2, "deploy", "kubernetes", "--namespace", name, "--image", BASE_IMAGE, "--apply")
    assert f'namespaces "{name}" not found' in said
    assert f"kubectl create namespace {name}" in said


def test_a_first_image_that_does_not_start_is_replaced_and_the_volume_stays(namespace: str, laptop: Live) -> None:
    apply = ("deploy", "kubernetes", "--namespace", namespace, "--apply", "--image")
    laptop.ok(*apply, "rig.local/none-such:1", "--storage", "2Gi")
    until(lambda: started_image(namespace) == "rig.local/none-such:1", "there is a pod")
    laptop.ok(*apply, BASE_IMAGE)
    until(lambda: started_image(namespace) == BASE_IMAGE, "its image is replaced")
    (claim,) = found("statefulsets", namespace)[0]["spec"]["volumeClaimTemplates"]
    assert claim["spec"]["resources"]["requests"]["storage"] == "2Gi"
    said = laptop.fails(2, *apply, BASE_IMAGE, "--storage", "3Gi")
    assert "A volume keeps its size and class" in said


def test_who_may_not_deploy_is_told_what_he_needs(namespace: str, laptop: Live, tmp_path: Path) -> None:
    kubeconfig = config_of_nobody(namespace, tmp_path / "nobody")
    words = ("deploy", "kubernetes", "--namespace", namespace, "--apply", "--image", BASE_IMAGE)
    said = laptop.fails(5, *words, KUBECONFIG=kubeconfig)
    assert "a right is missing" in said
    assert "Apply as a user who may make all these objects" in said


def test_a_gateway_that_is_deleted_comes_back_and_loses_nothing(
    image: str, namespace: str, volume: Path, forward: Forward, laptop: Live
) -> None:
    context = kubectl("config", "current-context").stdout.strip()
    deploy = ("deploy", "kubernetes", "--namespace", namespace, "--image", image, "--apply")
    said = laptop.ok(*deploy, FABRIC_JOBS_KUBERNETES_CONTEXT=context).err
    to = f"kubectl --context {context} --namespace {namespace}"
    assert f"{to} exec {POD} -- fabric-jobs tokens create admin --role admin" in said
    inside = ("--namespace", namespace)
    until(lambda: "True" in ready(namespace), "the gateway is ready")
    token = laptop.root / "admin.json"
    create = ("fabric-jobs", "tokens", "create", "admin", "--role", "admin", "--address", forward.url)
    token.write_text(kubectl("exec", *inside, POD, "--", *create).stdout)
    token.chmod(0o600)
    profile = ("--profile", token)
    laptop.skill("slow", "", image=BASE_IMAGE, command=["python3", "-c", PROGRAM])
    laptop.skill("quick", "", image=BASE_IMAGE, command=["python3", "-c", "print('done')"])
    assert laptop.invoke("quick", None, "--save", *profile)["response"] == "done\n"

    words = ("skills", "invoke", "slow", "--save", "--detach", "--payload", "{}", *profile)
    activation = laptop.ok(*words).out.strip()
    until(lambda: "3\n" in printed(volume, "slow"), "the job has begun")
    (job,) = [each for each in found("pods", namespace) if each["metadata"]["name"] != POD]
    before = uid(namespace)
    kubectl("delete", "pod", *inside, POD)
    until(lambda: uid(namespace) not in ("", before) and "True" in ready(namespace), "another pod is ready")
    until(lambda: laptop.run("skills", "list", *profile).code == 0, "the way leads to the other pod")
    laptop.ok("activations", "wait", activation, *profile)
    record = laptop.ok("activations", "show", activation, "-o", "json", *profile).value
    assert record["response"] == "".join(f"{number}\n" for number in range(SECONDS))
    (task,) = laptop.ok("tasks", "list", "--activation", activation, "-o", "json", *profile).value
    assert (task["state"], task["attempt"]) == ("COMPLETE", 1)
    shown = job["metadata"]["labels"]["batch.kubernetes.io/job-name"]
    until(lambda: not found("jobs", namespace), f"{shown} is deleted")
    assert "a right is missing" not in kubectl("logs", *inside, POD).stdout
    assert not list(laptop.root.glob(".fabric-jobs/owner*"))  # nothing ran here


def ready(namespace: str) -> str:
    """Return the status of the condition Ready of the gateway's pod; empty while there is none."""
    words = 'jsonpath={.status.conditions[?(@.type=="Ready")].status}'
    return kubectl("get", "pod", POD, "--namespace", namespace, "--output", words, check=False).stdout


def started_image(namespace: str) -> str:
    """Return the image of the gateway's pod; empty while there is none."""
    words = "jsonpath={.spec.containers[0].image}"
    return kubectl("get", "pod", POD, "--namespace", namespace, "--output", words, check=False).stdout


def uid(namespace: str) -> str:
    """Return the id of the gateway's pod, which its next one does not share; empty while there is none."""
    words = "jsonpath={.metadata.uid}"
    return kubectl("get", "pod", POD, "--namespace", namespace, "--output", words, check=False).stdout


def printed(volume: Path, skill: str) -> str:
    """Return what the attempts of a skill have printed so far."""
    text = ""
    for path in volume.glob(f"state/attempts/*-{skill}-*/stdout"):
        with suppress(OSError):
            text += path.read_text()
    return text

"""Finds a Kubernetes cluster for the tests that need one, or the reason to skip those.

The cluster is that of KUBECONFIG. It needs the image that FABRIC_JOBS_TEST_BASE_IMAGE names: with Python 3.11 or newer.
FABRIC_JOBS_TEST_LOAD_IMAGE names a command that puts images into the cluster: what `docker save` writes, for the argument `-`.
With FABRIC_JOBS_TEST_REQUIRE_CLUSTER=1 a cluster that cannot be used is an error, and not a reason to skip.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import cache
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

import pytest
import yaml

from tests.acceptance import live
from tests.docker_place import BASE_IMAGE
from tests.tcp_proxy import TcpProxy

KUBECTL = (
    os.environ.get("FABRIC_JOBS_TEST_KUBECTL")
    or shutil.which("kubectl")
    or str(Path.home() / ".cache/k8s-rig/bin/kubectl")
)
KUBECONFIG = os.environ.get("KUBECONFIG", "")
LOAD_IMAGE = os.environ.get("FABRIC_JOBS_TEST_LOAD_IMAGE", "")
IS_REQUIRED = bool(os.environ.get("FABRIC_JOBS_TEST_REQUIRE_CLUSTER"))
ADDRESSES = "jsonpath={.items[*].status.addresses[?(@.type=='InternalIP')].address}"
GROUPS = {"jobs": "/apis/batch/v1", **dict.fromkeys(("deployments", "replicasets", "statefulsets"), "/apis/apps/v1")}
LOOK_SECONDS = 0.05  # between two looks at the cluster, which work there

T = TypeVar("T")


def kubectl(*words: str, check: bool = True, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the `kubectl` command."""
    return subprocess.run([KUBECTL, *words], capture_output=True, text=True, check=check, env=_environment(), **options)


def found(kinds: str, namespace: str, labels: str = "") -> list[dict[str, Any]]:
    """Return the objects of one or more kinds, such as `jobs,pods`, in a namespace. No process is started for it."""
    items: list[dict[str, Any]] = []
    with closing(HTTPConnection("127.0.0.1", _port(), timeout=30)) as connection:
        for kind in kinds.split(","):
            path = f"{GROUPS.get(kind, '/api/v1')}/namespaces/{namespace}/{kind}?labelSelector={quote(labels)}"
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read()
            assert answer.status == 200, body
            listed = json.loads(body)
            of = {"apiVersion": listed["apiVersion"], "kind": listed["kind"].removesuffix("List")}
            items += [{**of, **item} for item in listed["items"]]
    return items


def until(look: Callable[[], T | None], what: str) -> T:
    """Return the first true value of `look`, which asks the cluster; fail after a minute."""
    return live.until(look, what, pause=LOOK_SECONDS)


@cache
def missing_cluster() -> str:
    """Return why no cluster can be used; empty if one can."""
    if not KUBECONFIG:
        return "KUBECONFIG names no cluster"
    if not Path(KUBECTL).exists():
        return "there is no kubectl command"
    timeout = f"--request-timeout={60 if IS_REQUIRED else 5}s"
    said = kubectl("get", "nodes", "--output", ADDRESSES, timeout, check=False)
    if said.returncode:
        return f"no cluster answers: {said.stderr.strip()}"
    strange = [address for address in said.stdout.split() if not _is_own(address)]
    return f"nodes of the cluster are not this machine: {', '.join(strange)}" if strange else ""


def missing_loader() -> str:
    """Return why no image can be put into the cluster; empty if one can."""
    return "" if LOAD_IMAGE else "FABRIC_JOBS_TEST_LOAD_IMAGE names no command that puts images into the cluster"


@contextmanager
def a_namespace() -> Iterator[str]:
    """Make a namespace, and delete it with all that is in it."""
    name = f"test-{uuid.uuid4().hex[:10]}"
    kubectl("create", "namespace", name)
    try:
        until(lambda: found("serviceaccounts", name), "pods are admitted")
        yield name
    finally:
        kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found")


@pytest.fixture
def namespace(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Yield a new namespace that attempts of this test use."""
    with a_namespace() as name:
        monkeypatch.setenv("FABRIC_JOBS_KUBERNETES_NAMESPACE", name)
        yield name


def config_of_nobody(namespace: str, place: Path) -> str:
    """Write a kubeconfig of a user without any right, and return its path."""
    kubectl("create", "serviceaccount", "nobody", "--namespace", namespace)
    token = kubectl("create", "token", "nobody", "--namespace", namespace).stdout.strip()
    config = yaml.safe_load(Path(KUBECONFIG).read_text())
    for user in config["users"]:
        user["user"] = {"token": token}
    place.write_text(yaml.safe_dump(config))
    return str(place)


class ClusterProxy(TcpProxy):
    """A way to the API server that a test can close. `file` is a kubeconfig that leads through it."""

    def __init__(self, directory: Path) -> None:
        config = yaml.safe_load(Path(KUBECONFIG).read_text())
        server = urlsplit(config["clusters"][0]["cluster"]["server"])
        super().__init__(lambda: socket.create_connection((str(server.hostname), server.port or 443)))
        for each in config["clusters"]:
            each["cluster"]["server"] = f"https://127.0.0.1:{self.port}"
        self.file = directory / "through-proxy.kubeconfig"
        self.file.write_text(yaml.safe_dump(config))


def _environment() -> dict[str, str]:
    return {**os.environ, "KUBECONFIG": KUBECONFIG}  # not one through a proxy


@cache
def _port() -> int:
    """Start a proxy to the API server; return its port. It ends when the pipe closes, at the end of this process."""
    command = ["/bin/sh", "-c", '"$0" proxy --port=0 & read end; kill $!', KUBECTL]
    theirs, _ = os.pipe()
    process = subprocess.Popen(command, stdin=theirs, stdout=subprocess.PIPE, text=True, env=_environment())
    process.returncode = 0  # nobody waits for it
    os.close(theirs)
    assert process.stdout is not None
    with process.stdout:
        return int(process.stdout.readline().rpartition(":")[2])


def _is_own(address: str) -> bool:
    """Tell whether an address is one of this machine."""
    with suppress(OSError), socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        probe.bind((address, 0))
        return True
    return False


def _reason() -> str:
    """Return why tests are skipped. Raise instead where that must not be."""
    reason = missing_cluster()
    assert not (reason and IS_REQUIRED), reason
    return reason


needs_cluster = [pytest.mark.kubernetes, pytest.mark.skipif(bool(_reason()), reason=_reason())]
__all__ = [
    "BASE_IMAGE",
    "ClusterProxy",
    "a_namespace",
    "config_of_nobody",
    "found",
    "kubectl",
    "missing_loader",
    "namespace",
    "needs_cluster",
    "until",
]

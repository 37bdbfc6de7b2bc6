"""Finds a Kubernetes cluster for the tests that need one, or the reason to skip those.

The cluster is that of KUBECONFIG. It needs the image that FABRIC_JOBS_TEST_BASE_IMAGE names: with Python 3.11 or newer.
FABRIC_JOBS_TEST_LOAD_IMAGE names a command that puts images into the cluster: what `docker save` writes, for the argument `-`.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from tests.docker_place import BASE_IMAGE
from tests.tcp_proxy import TcpProxy

KUBECTL = (
    os.environ.get("FABRIC_JOBS_TEST_KUBECTL")
    or shutil.which("kubectl")
    or str(Path.home() / ".cache/k8s-rig/bin/kubectl")
)
KUBECONFIG = os.environ.get("KUBECONFIG", "")
LOAD_IMAGE = os.environ.get("FABRIC_JOBS_TEST_LOAD_IMAGE", "")


def kubectl(*words: str, check: bool = True, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the `kubectl` command."""
    environment = {**os.environ, "KUBECONFIG": KUBECONFIG}  # not one through a proxy
    return subprocess.run([KUBECTL, *words], capture_output=True, text=True, check=check, env=environment, **options)


def found(kind: str, namespace: str, labels: str = "") -> list[dict[str, Any]]:
    """Return the objects of a kind in a namespace."""
    words = ["get", kind, "--namespace", namespace, "--output", "json", *(["--selector", labels] if labels else [])]
    items: list[dict[str, Any]] = json.loads(kubectl(*words).stdout)["items"]
    return items


@cache
def missing_cluster() -> str:
    """Return why no cluster can be used; empty if one can."""
    if not KUBECONFIG:
        return "KUBECONFIG names no cluster"
    if not Path(KUBECTL).exists():
        return "there is no kubectl command"
    said = kubectl("version", "--request-timeout=5s", check=False)
    return f"no cluster answers: {said.stderr.strip()}" if said.returncode else ""


def missing_loader() -> str:
    """Return why no image can be put into the cluster; empty if one can."""
    return "" if LOAD_IMAGE else "FABRIC_JOBS_TEST_LOAD_IMAGE names no command that puts images into the cluster"


@contextmanager
def a_namespace() -> Iterator[str]:
    """Make a namespace, and delete it with all that is in it."""
    name = f"test-{uuid.uuid4().hex[:10]}"
    kubectl("create", "namespace", name)
    try:
        yield name
    finally:
        kubectl("delete", "namespace", name, "--wait=false")


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


needs_cluster = [pytest.mark.kubernetes, pytest.mark.skipif(bool(missing_cluster()), reason=missing_cluster())]
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
]

"""Drives real pods: they run the local driver's shell, which takes orders from named pipes of this machine, the cluster's node."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from fabric_jobs.errors import FabricJobsError
from fabric_jobs.executors import kubernetes
from fabric_jobs.executors.attempt_files import shipped
from fabric_jobs.executors.base import STREAMS, AttemptExit, AttemptSpec, ProcessSpec
from fabric_jobs.executors.kubernetes import KubernetesExecutor
from fabric_jobs.executors.kubernetes.route import Route
from tests.executors.contract import SECONDS, Driver, Running, ended
from tests.executors.drivers import LocalDriver
from tests.kubernetes_place import BASE_IMAGE, ClusterProxy, a_namespace, found, kubectl

PROVE = Route.prove
ATTEMPT_KINDS = "deployments,replicasets,services,jobs,pods,secrets"


class Counter:
    """Takes output of pods and gives them their files, as the gateway does."""

    socket, advertised, url = "", "", ""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._servers: dict[str, ThreadingHTTPServer] = {}

    def listen(self, host: str) -> str:
        """Listen on an address of this machine."""
        if host not in self._servers:
            handler = type("Handler", (_Handler,), {"root": self.root})
            server = self._servers[host] = ThreadingHTTPServer((host, 0), handler)
            threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://{host}:{self._servers[host].server_port}"

    def share(self) -> Path:
        """Pods share no files with this machine."""
        raise NotImplementedError

    def close(self) -> None:
        """End everything."""
        for server in self._servers.values():
            server.shutdown()
            server.server_close()


class _Handler(BaseHTTPRequestHandler):
    root: Path
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Take output."""
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        path = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(path.query).items()}
        directory = self.root / path.path.split("/")[-2]
        try:
            size = shipped.take(directory, query["stream"], int(query["offset"]), body)
            if query.get("whole"):
                shipped.finish(directory)
            self._answer(200, json.dumps({"size": size, **shipped.asks(directory)}).encode())
        except (FabricJobsError, OSError, KeyError) as error:
            self._answer(409, str(error).encode())

    def do_GET(self) -> None:
        """Say that it is well, or give a file of an attempt."""
        parts = urlsplit(self.path).path.split("/")
        if parts[-1] == "healthz":
            self._answer(200, b"{}")
            return
        with suppress(OSError):
            self._answer(200, (self.root / parts[-3] / "files" / parts[-1]).read_bytes())

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body)


class KubernetesDriver(Driver):
    """Attempts of the Kubernetes executor. Their node is this machine: a hostPath volume has the pipes."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch, namespace: str) -> None:
        self._pipes = LocalDriver(directory)
        self._places = directory / "places"
        self._places.mkdir()
        self.root = directory / "attempts"
        self.root.mkdir(exist_ok=True)
        self.namespace = namespace
        self.proxy = ClusterProxy(directory)
        monkeypatch.setenv("KUBECONFIG", str(self.proxy.file))
        monkeypatch.setenv("FABRIC_JOBS_KUBERNETES_NAMESPACE", namespace)
        monkeypatch.setattr(kubernetes, "PATIENCE_SECONDS", SECONDS)
        monkeypatch.setattr(Route, "prove", unproved)
        self.counter = Counter(self.root)
        self._made: list[KubernetesExecutor] = []
        self.executor: KubernetesExecutor = self.anew()

    def spec(self, name: str) -> AttemptSpec:
        spec = self._pipes.spec(name)
        adds: list[dict[str, Any]] = [
            {"path": "/volumes/-", "value": {"name": "pipes", "hostPath": {"path": str(self._places)}}},
            {"path": "/containers/0/volumeMounts/-", "value": {"name": "pipes", "mountPath": str(self._places)}},
        ]
        process = replace(spec.processes[0], image=BASE_IMAGE, pod_spec=tuple(adds), environment=told(name))
        return replace(spec, processes=(process,))

    def order(self, running: Running, text: str, *, wait: bool = True) -> None:
        """Let the program run a shell command."""
        self._pipes.order(running, text, wait=wait)

    def say(self, running: Running, *, stdout: bytes = b"", stderr: bytes = b"") -> None:
        before = {name: self._size(running, name) for name in STREAMS}
        self._pipes.say(running, stdout=stdout, stderr=stderr)
        deadline = time.monotonic() + SECONDS
        for name, text in (("stdout", stdout), ("stderr", stderr)):  # until it has been sent
            while self._size(running, name) < before[name] + len(text):
                assert time.monotonic() < deadline, f"{text!r} never came on {name}"
                time.sleep(0.005)

    def end(self, running: Running, code: int) -> None:
        self._pipes.end(running, code)

    def vanish(self, running: Running) -> None:
        self.order(running, ":")
        words = ("--namespace", self.namespace, "--force", "--grace-period=0", "--wait=false")
        kubectl("delete", "pod", self.pod(running), *words)

    def deafen(self, running: Running) -> None:
        self._pipes.deafen(running)

    def starts(self, running: Running) -> int:
        return self._pipes.starts(running)

    def anew(self) -> KubernetesExecutor:
        self._made.append(KubernetesExecutor(self.root, self.counter))
        return self._made[-1]

    def again(self) -> KubernetesExecutor:
        """Replace the executor, as if its process had ended and another one had started."""
        self.executor.close()
        self.executor = self.anew()
        return self.executor

    def run(self, spec: AttemptSpec) -> tuple[AttemptExit, bytes, bytes]:
        """Run an attempt to its end; return its exit and its output."""
        handle = self.executor.start(spec)
        return (ended(self.executor, handle), *self.output(handle))

    def output(self, handle: str) -> tuple[bytes, bytes]:
        """Return an attempt's output so far."""
        stdout, stderr = (self.executor.logs(handle, stream, 0, 1 << 26) for stream in STREAMS)
        return stdout, stderr

    def unreachable(self) -> None:
        self.proxy.away()

    def pod(self, running: Running) -> str:
        """Return the name of the pod of an attempt."""
        items = self.objects("pods")
        return "".join(
            item["metadata"]["name"]
            for item in items
            if item["metadata"]["annotations"]["fabric-jobs/attempt"] == running.spec.name
        )

    def objects(self, kinds: str) -> list[dict[str, Any]]:
        """Return what there is of this test in the cluster."""
        return found(kinds, self.namespace, "app.kubernetes.io/managed-by=fabric-jobs,!fabric-jobs/probe")

    def left(self) -> list[str]:
        """Return the names of all that there is of attempts of this test in the cluster."""
        return [each["metadata"]["name"] for each in self.objects(ATTEMPT_KINDS)]

    def close(self) -> None:
        """Close the executors, and end everything on this machine. The namespace takes the rest with it."""
        for executor in self._made:
            executor.close()
        self.counter.close()
        self.proxy.close()
        self._pipes.executor.close()

    def _size(self, running: Running, stream: str) -> int:
        path = Path(running.handle) / stream
        return path.stat().st_size if path.exists() else 0


def told(name: str) -> dict[str, str]:
    """Return the variables of an attempt that its launcher needs."""
    return {"FABRIC_JOBS_ATTEMPT": name, "CORTEX_TOKEN": "a.b.c"}


async def unproved(route: Route, image: str) -> None:
    """Start no probe: that would be one more pod for every test."""


@pytest.fixture
def probed(driver: KubernetesDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a probe try the way to the gateway, as it does outside of tests."""
    monkeypatch.setattr(Route, "prove", PROVE)


@pytest.fixture(name="driver")
def kubernetes_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KubernetesDriver]:
    """Yield the driver of a test, with a namespace of its own."""
    with a_namespace() as namespace:
        made = KubernetesDriver(tmp_path, monkeypatch, namespace)
        yield made
        made.close()


def spec_of(*command: str, name: str = "attempt-1", **changes: Any) -> AttemptSpec:
    """Return the spec of an attempt that runs a program in the base image."""
    files = changes.pop("files", {})
    environment = {**told(name), **changes.pop("environment", {})}
    given = {"directory": None, "command": command, "image": BASE_IMAGE, "environment": environment, **changes}
    return AttemptSpec(name=name, processes=(ProcessSpec(**given),), files=files)

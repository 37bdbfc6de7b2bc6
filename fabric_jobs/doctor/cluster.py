"""Checks the Kubernetes cluster, where one is configured or is the default: login, namespace, rights, and the way from its pods."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from urllib.parse import urlsplit

from fabric_jobs import state_dir as places
from fabric_jobs.doctor.finding import NOTE, OK, PROBLEM, WARNING, Finding, Scope
from fabric_jobs.errors import FabricJobsError, InvalidInput
from fabric_jobs.kubernetes import login
from fabric_jobs.kubernetes.cluster import Cluster, Where
from fabric_jobs.kubernetes.session import LOGIN_SECONDS
from fabric_jobs.runtime.fabric_skill.http import Connection, Disconnected
from fabric_jobs.store.audit import setting

DEFAULT = "FABRIC_JOBS_EXECUTOR"
LOCAL = "127.0.0.1"
ANSWER_SECONDS = 5.0
TRY = "`--pod-image IMAGE` lets a pod try it"


def kubernetes(scope: Scope) -> Iterator[Finding]:
    """Check the cluster. What is wrong is a problem where it is the default place or a pod is to try, and a note elsewhere."""
    is_wanted = os.environ.get(DEFAULT) == "kubernetes" or bool(scope.pod_image)
    if not is_wanted and not login.is_configured():
        yield Finding(NOTE, "No cluster is configured.")
        return
    findings: list[Finding] = []
    bad = PROBLEM if is_wanted else NOTE
    try:
        asyncio.run(_examine(findings, scope, bad))
    except FabricJobsError as error:
        findings.append(Finding(bad, error.message, error.hint))
    yield from findings


async def _examine(findings: list[Finding], scope: Scope, bad: str) -> None:
    """Add what is found; the first thing without which nothing works is raised."""
    from fabric_jobs.executors.kubernetes import layer, readiness

    cluster = Cluster(Where(), LOGIN_SECONDS)
    try:
        version = await cluster.version()
        findings.append(Finding(OK, f"{cluster.url} answers, version {version}; namespace {cluster.namespace}"))
        await readiness.check_namespace(cluster)
        findings.append(await _rights(cluster, bad))
        findings.append(await _way(cluster, scope))
        findings.append(Finding(OK, f"the runtime layer has {len(layer.archive()):,} bytes and fits a ConfigMap"))
    finally:
        await cluster.close()


async def _rights(cluster: Cluster, bad: str) -> Finding:
    from fabric_jobs.executors.kubernetes import rights
    from fabric_jobs.kubernetes.failures import RIGHTS

    missing = await rights.missing(cluster)
    if missing:
        return Finding(bad, f"this user may not {rights.named(missing, cluster.namespace)}.", RIGHTS)
    return Finding(OK, f"this user has all {len(rights.RIGHTS)} rights that are needed in the namespace")


async def _way(cluster: Cluster, scope: Scope) -> Finding:
    """Tell how pods are told to reach a gateway of this machine, and with an image let one try."""
    from fabric_jobs.executors.kubernetes import route

    advertised, port = await asyncio.to_thread(_gateway, scope)
    if advertised and scope.pod_image:
        return await _tried(cluster, scope.pod_image, advertised)
    if advertised:
        return Finding(OK, f"pods are told to reach the gateway at {advertised}; {TRY}")
    for address in await route.addresses(cluster):
        own = route.way_to(address)
        if own and scope.pod_image:
            with _answering(own, port) as url:
                return await _tried(cluster, scope.pod_image, url)
        if own:
            return Finding(OK, f"pods are told to reach a gateway of this machine at {own}; {TRY}")
    return Finding(
        PROBLEM if scope.pod_image else WARNING,
        "No address of this machine was found that pods could reach.",
        route.ADVERTISE,
    )


async def _tried(cluster: Cluster, image: str, url: str) -> Finding:
    """Let a pod ask a URL."""
    from fabric_jobs.executors.kubernetes import proof
    from fabric_jobs.executors.kubernetes.around import around

    try:
        untried = await proof.prove(cluster, image, around("doctor", url))
    except InvalidInput as error:
        return Finding(PROBLEM, error.message, error.hint)
    if untried:
        text = f"No pod of {image} could try whether it reaches {url}: {untried.rstrip('.')}."
        return Finding(PROBLEM, text, "Name an image that the cluster has, with python3.")
    return Finding(OK, f"a pod of {image} reaches {url}")


def _gateway(scope: Scope) -> tuple[str, int]:
    """Return the URL that the gateway advertises, or would, and its port, or that of the last one; empty and 0 without."""
    advertised, port = os.environ.get("FABRIC_JOBS_ADVERTISE", "").rstrip("/"), 0
    if scope.state_dir is None:
        return advertised, port
    address = places.read_address(scope.state)
    if address is None or not places.is_locked(places.lock_file(scope.state)):
        kept = setting(path, "port") if (path := places.database_file(scope.state)).exists() else None
        return advertised, int(kept) if kept is not None and kept.isdecimal() else port
    connection = Connection(address.socket, address.token)
    with suppress(Disconnected), closing(connection):
        told = json.loads(connection.request("GET", "/info", timeout=ANSWER_SECONDS).body)
        advertised = str(told["cluster_config"]["operator_endpoint"])
    port = urlsplit(address.url).port or 0
    return "" if advertised in (address.url, f"http://{LOCAL}:{port}") else advertised, port


@contextmanager
def _answering(host: str, port: int) -> Iterator[str]:
    """Answer on an address of this machine, unless the gateway does; give the URL. Port 0 is any."""
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class AnsweringHandler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Print nothing."""

    where = f"[{host}]" if ":" in host else host
    try:
        server = ThreadingHTTPServer((host, port), AnsweringHandler)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        yield f"http://{where}:{port}"
        return
    with server:
        thread = threading.Thread(target=server.serve_forever, name="doctor", daemon=True)
        thread.start()
        try:
            yield f"http://{where}:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()

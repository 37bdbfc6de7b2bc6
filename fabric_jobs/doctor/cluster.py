"""Checks the Kubernetes cluster, where one is configured or is the default: login, namespace, rights, and the way from its pods."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from fabric_jobs.doctor.finding import NOTE, OK, PROBLEM, WARNING, Finding, Scope
from fabric_jobs.errors import FabricJobsError
from fabric_jobs.kubernetes import login
from fabric_jobs.kubernetes.cluster import Cluster, Where

DEFAULT = "FABRIC_JOBS_EXECUTOR"


def kubernetes(scope: Scope) -> Iterator[Finding]:
    """Check the cluster. What is wrong is a problem where it is the default place, and a note elsewhere."""
    is_default = os.environ.get(DEFAULT) == "kubernetes"
    if not is_default and not login.is_configured():
        yield Finding(NOTE, "No cluster is configured.")
        return
    findings: list[Finding] = []
    try:
        asyncio.run(_examine(findings, scope, PROBLEM if is_default else NOTE))
    except FabricJobsError as error:
        findings.append(Finding(PROBLEM if is_default else NOTE, error.message, error.hint))
    yield from findings


async def _examine(findings: list[Finding], scope: Scope, bad: str) -> None:
    """Add what is found; the first thing without which nothing works is raised."""
    from fabric_jobs.executors.kubernetes import layer, readiness

    cluster = Cluster(Where())
    try:
        version = (await cluster.at("/version")).get("gitVersion", "")
        findings.append(Finding(OK, f"{cluster.url} answers, version {version}; namespace {cluster.namespace}"))
        await readiness.check_namespace(cluster)
        findings.append(await _rights(cluster, bad))
        findings.append(await _way(cluster, scope.pod_image))
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


async def _way(cluster: Cluster, image: str) -> Finding:
    from fabric_jobs.executors.kubernetes import route

    for address in await route.addresses(cluster):
        own = route.way_to(address)
        if own and image:
            return await _tried(cluster, image, own)
        if own:
            text = f"pods are told to reach a gateway of this machine at {own}; `--pod-image IMAGE` lets a pod try it"
            return Finding(OK, text)
    return Finding(WARNING, "No address of this machine was found that pods could reach.", route.ADVERTISE)


async def _tried(cluster: Cluster, image: str, own: str) -> Finding:
    """Let a pod ask an address of this machine; raise InvalidInput if it does not get there."""
    from fabric_jobs.executors.kubernetes import proof
    from fabric_jobs.executors.kubernetes.around import around

    with _answering(own) as (url, asked):
        await proof.prove(cluster, image, around("doctor", url))
    if asked:
        return Finding(OK, f"a pod of {image} reaches this machine at {own}")
    text = f"No pod of {image} could try whether it reaches this machine at {own}."
    return Finding(WARNING, text, "Name an image that the cluster has, with python3.")


@contextmanager
def _answering(host: str) -> Iterator[tuple[str, list[str]]]:
    """Answer on an address of this machine; give the URL, and a list that gets the paths that were asked for."""
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    asked: list[str] = []

    class AskedHandler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer((host, 0), AskedHandler) as server:
        thread = threading.Thread(target=server.serve_forever, name="doctor", daemon=True)
        thread.start()
        try:
            yield f"http://{f'[{host}]' if ':' in host else host}:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()

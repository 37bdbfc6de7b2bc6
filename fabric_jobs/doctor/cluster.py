"""Checks the Kubernetes cluster, where one is configured or is the default: login, namespace, rights, and the way from its pods."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator

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
        asyncio.run(_examine(findings, PROBLEM if is_default else NOTE))
    except FabricJobsError as error:
        findings.append(Finding(PROBLEM if is_default else NOTE, error.message, error.hint))
    yield from findings


async def _examine(findings: list[Finding], bad: str) -> None:
    """Add what is found; the first thing without which nothing works is raised."""
    from fabric_jobs.executors.kubernetes import layer, readiness

    cluster = Cluster(Where())
    try:
        version = (await cluster.at("/version")).get("gitVersion", "")
        findings.append(Finding(OK, f"{cluster.url} answers, version {version}; namespace {cluster.namespace}"))
        await readiness.check_namespace(cluster)
        findings.append(await _rights(cluster, bad))
        findings.append(await _way(cluster))
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


async def _way(cluster: Cluster) -> Finding:
    from fabric_jobs.executors.kubernetes import route

    for address in await route.addresses(cluster):
        if own := route.way_to(address):
            text = (
                f"pods are told to reach a gateway of this machine at {own}; the first attempt of each gateway tries it"
            )
            return Finding(OK, text)
    return Finding(WARNING, "No address of this machine was found that pods could reach.", route.ADVERTISE)

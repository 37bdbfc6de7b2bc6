"""Checks before the first attempt that the cluster, its namespace and the rights are there: what is missing is said at once."""

from __future__ import annotations

import asyncio

from fabric_jobs.executors.kubernetes import rights
from fabric_jobs.kubernetes.cluster import Cluster
from fabric_jobs.kubernetes.failures import NAMESPACE, RIGHTS, Rejected, RightMissing


async def check(cluster: Cluster) -> None:
    """Raise ExecutorUnavailable for a cluster that cannot be used, RightMissing, or Rejected for its namespace."""
    await cluster.version()
    missing, _ = await asyncio.gather(rights.missing(cluster), check_namespace(cluster))
    if missing:
        raise RightMissing(f"this user may not {rights.named(missing, cluster.namespace)}.", hint=RIGHTS)


async def check_namespace(cluster: Cluster) -> None:
    """Raise Rejected if the namespace is missing or being deleted, as far as this user may know."""
    try:
        found = await cluster.at(f"/api/v1/namespaces/{cluster.namespace}")
    except RightMissing:
        return
    if (found.get("status") or {}).get("phase") == "Terminating":
        raise Rejected(
            f"the namespace '{cluster.namespace}' is being deleted.",
            hint=f"Wait until it is gone, and create it again. {NAMESPACE}",
        )

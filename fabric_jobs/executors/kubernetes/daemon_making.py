"""Creates and deletes the objects of a daemon in a cluster."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from fabric_jobs.errors import InvalidInput
from fabric_jobs.executors.kubernetes import daemon_manifest, making
from fabric_jobs.executors.kubernetes.site import Site
from fabric_jobs.kubernetes.cluster import Cluster, Object
from fabric_jobs.kubernetes.failures import Conflict, Missing


async def make(directory: Path, site: Site) -> None:
    """Make the Secret, the Service and the Deployment of a daemon, unless they are there.

    Raises InvalidInput if a retry would not help, Forgotten, Unreadable, or ExecutorUnavailable.
    """
    spec, around = await making.prepared(directory, site)
    if not spec.replicas:
        raise InvalidInput("its scaleCount is 0, so no copy of it runs.", hint="Set it to 1 or more in skill.yaml.")
    cluster, name = site.cluster, daemon_manifest.name(spec, around)
    deployment = daemon_manifest.deployment(spec, around)
    secret = daemon_manifest.secret(spec, around)
    making.check_size(secret)
    with suppress(Conflict):
        await cluster.create("secrets", secret)
    try:
        made = await cluster.create("deployments", deployment)
    except Conflict:
        made = await cluster.get("deployments", name)
    owned = {"ownerReferences": [making.reference(made)]}  # they go with the Deployment
    service = daemon_manifest.service(spec, around)
    with suppress(Conflict):
        await cluster.create("services", {**service, "metadata": {**service["metadata"], **owned}})
    await cluster.patch("secrets", name, {"metadata": owned})


async def service_of(cluster: Cluster, name: str) -> Object | None:
    """Return the Service of a daemon; None when somebody has deleted it."""
    try:
        return await cluster.get("services", name)
    except Missing:
        return None


async def delete(cluster: Cluster, name: str) -> None:
    """Delete the objects of a daemon. The Deployment is there until all of its pods are gone."""
    for kind in ("services", "secrets"):
        await cluster.delete(kind, name)
    await cluster.delete("deployments", name, propagationPolicy="Foreground")


def why_no_pod(deployment: Object) -> str:
    """Return in the cluster's own words why a Deployment has no pod; empty when nothing is wrong so far."""
    for each in (deployment.get("status") or {}).get("conditions") or ():
        if each.get("type") == "ReplicaFailure" and each.get("status") == "True":
            return str(each.get("message") or each.get("reason") or "")
    return ""

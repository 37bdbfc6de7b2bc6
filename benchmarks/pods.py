"""Cluster parts of the benchmarks: a namespace of their own, images that pods can use, bare Jobs, and what the API was asked."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.common import metrics
from fabric_jobs.images.loading import VARIABLE, load
from fabric_jobs.kubernetes.cluster import Cluster, Where
from tests.kubernetes_place import a_namespace, missing_cluster

WATCH_SECONDS = 60.0
NAMESPACE = "FABRIC_JOBS_KUBERNETES_NAMESPACE"


@contextmanager
def namespace() -> Iterator[str]:
    """Yield a new namespace for all that is measured; end the process, with the reason, where there is no cluster."""
    if missing_cluster():
        raise SystemExit(missing_cluster())
    with a_namespace() as name:
        before = os.environ.get(NAMESPACE)
        os.environ[NAMESPACE] = name
        try:
            yield name
        finally:
            os.environ.pop(NAMESPACE)
            if before is not None:
                os.environ[NAMESPACE] = before


def loaded(*images: str) -> None:
    """Make local images known to the cluster, as FABRIC_JOBS_KUBERNETES_LOAD says."""
    command = os.environ.get(VARIABLE)
    if not command:
        raise SystemExit(f"Say in {VARIABLE} how images get into the cluster (docs/reference/settings.md).")
    load(command, images)


def check_in_pod(record: Mapping[str, Any]) -> None:
    """Raise RuntimeError unless an activation ran in pods and succeeded."""
    if (record["status"], record.get("executor")) != ("COMPLETE", "kubernetes"):
        raise RuntimeError(f"it did not end well, or did not run in a pod: {record}")


def asked(root: Path) -> int:
    """Return how many requests the owner of a workspace has sent to the API server so far."""
    found = metrics(root)
    return round(
        sum(value for name, value in found.items() if name.startswith("fabric_jobs_kubernetes_requests_total"))
    )


def run_bare_jobs(image: str, command: list[str], count: int) -> None:
    """Create Jobs one after the other, and wait on each one's Complete condition by a watch; then delete them."""
    asyncio.run(_run_bare_jobs(image, command, count))


async def _run_bare_jobs(image: str, command: list[str], count: int) -> None:
    cluster = Cluster(Where())
    try:
        for number in range(count):
            await _run_bare_job(cluster, f"bare-{os.getpid()}-{number}", image, command)
    finally:
        await cluster.close()


async def _run_bare_job(cluster: Cluster, name: str, image: str, command: list[str]) -> None:
    container = {"name": "program", "image": image, "imagePullPolicy": "IfNotPresent", "command": command}
    pod = {"restartPolicy": "Never", "containers": [container]}
    labels = {"bare": name}
    body = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": labels},
        "spec": {"backoffLimit": 0, "template": {"spec": pod}},
    }
    made = await cluster.create("jobs", body)
    version = str(made["metadata"]["resourceVersion"])
    async with cluster.watch("jobs", f"bare={name}", version, WATCH_SECONDS) as events:
        async for _, job in events:
            conditions = (job.get("status") or {}).get("conditions") or ()
            ended = {each["type"] for each in conditions if each["status"] == "True"}
            if "Complete" in ended:
                await cluster.delete("jobs", name)
                return
            if "Failed" in ended:
                raise RuntimeError(f"the bare Job failed: {conditions}")
    raise RuntimeError("the bare Job never ended")


@contextmanager
def images_in_cluster(contexts: Mapping[str, Path]) -> Iterator[None]:
    """Keep images in the cluster during the block: name -> directory, which is in /app."""
    from benchmarks.containers import built

    with ExitStack() as stack:
        for image, context in contexts.items():
            stack.enter_context(built(image, context))
        loaded(*contexts)
        yield

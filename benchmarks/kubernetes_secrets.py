"""What a Secret of its own costs an attempt: a Job with a Secret that it owns, against the same Job that needs none.

One Secret for all attempts of an activation would save two of five requests for each attempt, and show every pod the tokens of the
others. The Jobs are suspended, so that no pod starts.
"""

from __future__ import annotations

import asyncio
import base64
import time
from typing import Any

from benchmarks.common import arguments, measure, report
from benchmarks.pods import namespace
from fabric_jobs.kubernetes.cluster import Cluster, Where

ORDER_BYTES = 6_000  # about the order, message and variables of a small attempt
CONTAINER = {"name": "program", "image": "none"}
TEMPLATE = {"spec": {"restartPolicy": "Never", "containers": [CONTAINER]}}


def milliseconds(count: int, *, secrets: bool) -> float:
    """Return the milliseconds that it takes to make one of `count` Jobs."""
    return asyncio.run(_make(count, secrets=secrets))


async def _make(count: int, *, secrets: bool) -> float:
    cluster = Cluster(Where())
    names = [f"cost-{number}" for number in range(count)]
    try:
        await cluster.list("jobs")  # logs in
        started = time.perf_counter()
        for name in names:
            await _make_one(cluster, name, secret=secrets)
        took = time.perf_counter() - started
        for name in names:
            await cluster.delete("jobs", name)
            if secrets:
                await cluster.delete("secrets", name)
        while (await cluster.list("jobs"))[0]:
            await asyncio.sleep(0.05)
    finally:
        await cluster.close()
    return took / count * 1000


async def _make_one(cluster: Cluster, name: str, *, secret: bool) -> None:
    head: dict[str, Any] = {"metadata": {"name": name}}
    if secret:
        order = base64.b64encode(bytes(ORDER_BYTES)).decode()
        await cluster.create("secrets", {"apiVersion": "v1", "kind": "Secret", **head, "data": {"order": order}})
    spec = {"suspend": True, "template": TEMPLATE}
    made = await cluster.create("jobs", {"apiVersion": "batch/v1", "kind": "Job", **head, "spec": spec})
    if secret:
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": made["metadata"]["uid"]}
        await cluster.patch("secrets", name, {"metadata": {"ownerReferences": [owner]}})


def main() -> None:
    """Measure and print."""
    wanted = arguments(__doc__ or "", jobs=50)
    with namespace():
        pairs = measure(
            wanted.pairs,
            lambda: milliseconds(wanted.jobs, secrets=True),
            lambda: milliseconds(wanted.jobs, secrets=False),
        )
    report("kubernetes_secrets", "ms/Job", pairs, "wanted <= 4", as_json=wanted.json, jobs=wanted.jobs)


if __name__ == "__main__":
    main()

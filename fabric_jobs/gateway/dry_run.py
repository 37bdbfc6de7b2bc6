"""Asks a cluster whether it would take objects, without creating any (docs/howto/kubernetes.md#look-before-you-run)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from fabric_jobs.errors import ExecutorUnavailable, InvalidInput
from fabric_jobs.kubernetes.cluster import Cluster, Where
from fabric_jobs.kubernetes.failures import Conflict, Missing, QuotaFull, RightMissing
from fabric_jobs.kubernetes.kinds import Kinds


async def asked(items: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what the cluster says of objects: `cluster`, or why there is none in `unreachable`, and `verdicts`."""
    cluster = Cluster(Where())
    verdicts: list[dict[str, Any]] = []
    try:
        await cluster.at("/version")
        kinds = Kinds(cluster)
        verdicts += [await _verdict(cluster, kinds, each) for item in items for each in _with_pod(item)]
    except ExecutorUnavailable as error:
        said = " ".join(filter(None, (error.message, error.hint)))
        return {"cluster": "", "unreachable": said, "verdicts": verdicts}
    finally:
        await cluster.close()
    return {"cluster": f"{cluster.url}, namespace {cluster.namespace}", "unreachable": "", "verdicts": verdicts}


def _with_pod(item: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield an object and the pod that it makes: quotas and pod security say no only to the pod."""
    yield dict(item)
    template = item.get("spec", {}).get("template") if item.get("kind") in ("Job", "Deployment") else None
    if isinstance(template, dict):
        metadata = {**template.get("metadata", {}), "generateName": f"{item['metadata'].get('name', 'pod')}-"}
        yield {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template.get("spec")}


async def _verdict(cluster: Cluster, kinds: Kinds, item: dict[str, Any]) -> dict[str, Any]:
    metadata = item.get("metadata") or {}
    name = metadata.get("name") or f"{metadata.get('generateName', '')}…"
    verdict = {"kind": str(item.get("kind", "")), "name": str(name), "accepted": True, "message": ""}
    try:
        await cluster.send("POST", await kinds.collection(item), item, dry_run=True)
    except Conflict:
        verdict["message"] = "there already; it stays as it is"
    except (InvalidInput, QuotaFull, RightMissing) as error:
        verdict |= {"accepted": False, "message": error.message}
    except Missing as error:
        verdict |= {"accepted": False, "message": str(error)}
    return verdict

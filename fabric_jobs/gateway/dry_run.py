"""Asks a cluster whether it would take objects, without creating any (docs/howto/kubernetes.md#look-before-you-run)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fabric_jobs.errors import ExecutorUnavailable, InvalidInput
from fabric_jobs.kubernetes.cluster import Cluster, Where
from fabric_jobs.kubernetes.failures import Conflict, Missing, QuotaFull, RightMissing
from fabric_jobs.kubernetes.kinds import Kinds
from fabric_jobs.kubernetes.loop import CallLoop
from fabric_jobs.kubernetes.session import LOGIN_SECONDS

POD = "Pod"
ASK_SECONDS = 50.0  # for all answers; clients wait for two minutes


def asked(items: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what the cluster says of objects: `cluster`, or why there is none in `unreachable`, and `verdicts`."""
    loop = CallLoop("dry run")
    cluster = Cluster(Where(), LOGIN_SECONDS)
    verdicts: list[dict[str, Any]] = []
    try:
        loop.ask(lambda: _ask(cluster, items, verdicts), LOGIN_SECONDS + ASK_SECONDS)
    except ExecutorUnavailable as error:
        said = " ".join(filter(None, (error.message, error.hint)))
        return {"cluster": "", "unreachable": said, "verdicts": verdicts}
    finally:
        loop.close(cluster.close)
    return {"cluster": f"{cluster.url}, namespace {cluster.namespace}", "unreachable": "", "verdicts": verdicts}


async def _ask(cluster: Cluster, items: Iterable[Mapping[str, Any]], verdicts: list[dict[str, Any]]) -> None:
    await cluster.version()
    kinds = Kinds(cluster)
    for item in items:
        verdicts += [await _verdict(cluster, kinds, each) for each in (dict(item), *_pod_of(item))]


def _pod_of(item: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the pod that an object makes: quotas and pod security say no only to the pod."""
    if item.get("kind") not in ("Job", "Deployment"):
        return []
    template = _part(_part(item, "spec"), "template")
    name = _part(item, "metadata").get("name") or "pod"
    metadata = {**_part(template, "metadata"), "generateName": f"{name}-"}
    return [{"apiVersion": "v1", "kind": POD, "metadata": metadata, "spec": _part(template, "spec")}]


def _part(item: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return an object in an object; empty for anything else, since `k8sResources` may be anything."""
    found = item.get(key)
    return found if isinstance(found, dict) else {}


async def _verdict(cluster: Cluster, kinds: Kinds, item: dict[str, Any]) -> dict[str, Any]:
    metadata = _part(item, "metadata")
    name = metadata.get("name") or f"{metadata.get('generateName', '')}…"
    verdict = {"kind": str(item.get("kind", "")), "name": str(name), "accepted": True, "message": ""}
    try:
        await cluster.send("POST", await kinds.collection(item), item, dry_run=True)
    except Conflict:
        verdict["message"] = "there already; it stays as it is"
    except RightMissing as error:  # pods are created by the cluster, not by this user
        if verdict["kind"] == POD:
            verdict |= {"accepted": None, "message": f"not checked: {error.message}"}
        else:
            verdict |= {"accepted": False, "message": error.message}
    except (InvalidInput, QuotaFull) as error:
        verdict |= {"accepted": False, "message": error.message}
    except Missing as error:
        verdict |= {"accepted": False, "message": str(error)}
    return verdict

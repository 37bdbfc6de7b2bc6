"""Reads what a cluster has noted about an object."""

from __future__ import annotations

from fabric_jobs.kubernetes.cluster import Cluster, Object

LENGTH = 300


async def newest_warning(cluster: Cluster, item: Object) -> str:
    """Return the newest warning about an object, such as `FailedMount: …`; empty when there is none (yet)."""
    uid = item["metadata"]["uid"]
    found, _ = await cluster.list("events", fields=f"involvedObject.uid={uid},type=Warning")
    if not found:
        return ""
    newest = max(found, key=_at)
    words = " ".join(str(newest.get("message") or "").split()).rstrip(".")
    return f"{newest.get('reason') or 'Warning'}: {words}"[:LENGTH]


def _at(event: Object) -> str:
    """Return when an event was last seen: RFC 3339 texts of one cluster compare as times, up to a second."""
    series = event.get("series") or {}
    times = (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"))
    return max(str(each or "") for each in (*times, event["metadata"].get("creationTimestamp")))

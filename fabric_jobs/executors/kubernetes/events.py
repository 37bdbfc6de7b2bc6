"""Says in the cluster's own words what a pod waits for that its status does not tell, such as a volume."""

from __future__ import annotations

import asyncio

from fabric_jobs.errors import InvalidInput
from fabric_jobs.executors.kubernetes.carried import AGAIN_SECONDS
from fabric_jobs.executors.kubernetes.pods import STARTING, Seen
from fabric_jobs.executors.kubernetes.route import Route
from fabric_jobs.kubernetes.cluster import Cluster, Object

PULL_SECONDS = 30.0  # for an image that cannot be pulled: the cluster has then tried it a few times
AFTER_SECONDS = 3.0  # of waiting without a reason in its status; then its events are read
LENGTH = 300


class WaitingPod:
    """A pod that waits for something its status does not name."""

    def __init__(self, cluster: Cluster, route: Route) -> None:
        self.why = ""  # what it waits for, once that is known
        self._cluster = cluster
        self._route = route
        self._since = self._pulling_since = 0.0  # by the loop's clock

    async def look(self, pod: Object, seen: Seen) -> float | None:
        """Look for the reason after a while; return in how many seconds to look again. A missing runtime layer is made again.

        Raises InvalidInput for an image that cannot be pulled.
        """
        now = asyncio.get_running_loop().time()
        self._pulling_since = (self._pulling_since or now) if seen.pulling else 0.0
        if seen.pulling and now - self._pulling_since > PULL_SECONDS:
            raise InvalidInput(f"the cluster cannot pull its image: {seen.pulling}.")
        if seen.doing != STARTING:
            self.why, self._since = "", 0.0
            return AGAIN_SECONDS if seen.pulling else None
        self._since = self._since or now
        if now - self._since < AFTER_SECONDS:
            return self._since + AFTER_SECONDS - now
        self.why = await why_waiting(self._cluster, pod)
        await self._route.repair(self.why)
        return AFTER_SECONDS


async def why_waiting(cluster: Cluster, pod: Object) -> str:
    """Return the newest warning about a pod, such as `FailedMount: …`; empty when there is none (yet)."""
    uid = pod["metadata"]["uid"]
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

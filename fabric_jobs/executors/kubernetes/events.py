"""Says in the cluster's own words what a pod waits for that its status does not tell, such as a volume."""

from __future__ import annotations

import asyncio

from fabric_jobs.errors import InvalidInput
from fabric_jobs.executors.kubernetes.backoff import Backoff
from fabric_jobs.executors.kubernetes.carried import AGAIN_SECONDS
from fabric_jobs.executors.kubernetes.pods import STARTING, Seen
from fabric_jobs.executors.kubernetes.route import Route
from fabric_jobs.kubernetes.cluster import Cluster, Object
from fabric_jobs.kubernetes.events import newest_warning

PULL_SECONDS = 30.0  # for an image that cannot be pulled: the cluster has then tried it a few times
AFTER_SECONDS = 3.0  # of waiting without a reason in its status; then its events are read


class WaitingPod:
    """A pod that waits for something its status does not name."""

    def __init__(self, cluster: Cluster, route: Route) -> None:
        self.why = ""  # what it waits for, once that is known
        self._cluster = cluster
        self._route = route
        self._pulling_since = 0.0  # by the loop's clock
        self._backoff = Backoff(AFTER_SECONDS)

    async def look(self, pod: Object, seen: Seen) -> float | None:
        """Look for the reason after a while; return in how many seconds to look again. A missing runtime layer is made again.

        Raises InvalidInput for an image that cannot be pulled.
        """
        now = asyncio.get_running_loop().time()
        self._pulling_since = (self._pulling_since or now) if seen.pulling else 0.0
        if seen.pulling and now - self._pulling_since > PULL_SECONDS:
            raise InvalidInput(f"the cluster cannot pull its image: {seen.pulling}.")
        if seen.doing != STARTING:
            self.why = ""
            self._backoff.end()
            return AGAIN_SECONDS if seen.pulling else None
        if left := self._backoff.left(now):
            return left
        self.why = await newest_warning(self._cluster, pod)
        await self._route.repair(self.why)
        return self._backoff.asked(now)

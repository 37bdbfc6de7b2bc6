"""What all attempts in a cluster have in common."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fabric_jobs.executors.attempt_files.index import LogIndex
from fabric_jobs.executors.attempt_files.specs import Secret
from fabric_jobs.executors.kubernetes.route import Route
from fabric_jobs.kubernetes.cluster import Cluster
from fabric_jobs.kubernetes.informer import Informer


@dataclass(frozen=True, kw_only=True)
class Site:
    """The place of attempts."""

    root: Path
    owner: str
    cluster: Cluster
    route: Route
    pods: Informer
    index: LogIndex
    secret: Secret

    async def synced(self) -> None:
        """Wait until the pods that there are have been seen. Raise ExecutorUnavailable while nothing is heard of them."""
        if self.pods.trouble is not None:
            raise self.pods.trouble
        await self.pods.is_synced.wait()

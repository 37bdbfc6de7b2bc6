"""All attempts of an executor: one watch tells of their pods, one task of the loop carries each one on."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

from fabric_jobs.errors import ExecutorUnavailable, FabricJobsError, InvalidInput
from fabric_jobs.executors.attempt_files import specs
from fabric_jobs.executors.attempt_files.exits import read_exit
from fabric_jobs.executors.attempt_files.index import LogIndex
from fabric_jobs.executors.base import Doors, Inside
from fabric_jobs.executors.kubernetes.attempt import PodAttempt
from fabric_jobs.executors.kubernetes.carried import Carried
from fabric_jobs.executors.kubernetes.daemon import DaemonAttempt
from fabric_jobs.executors.kubernetes.extras import Extras
from fabric_jobs.executors.kubernetes.group import GroupAttempt
from fabric_jobs.executors.kubernetes.manifest import ATTEMPT, OWNER
from fabric_jobs.executors.kubernetes.owner import owner_of
from fabric_jobs.executors.kubernetes.pool_manifest import POOL
from fabric_jobs.executors.kubernetes.pooled import PooledAttempt
from fabric_jobs.executors.kubernetes.pools import Pools
from fabric_jobs.executors.kubernetes.proof import LABEL as PROBE
from fabric_jobs.executors.kubernetes.route import Route
from fabric_jobs.executors.kubernetes.site import Site, Turn
from fabric_jobs.kubernetes.cluster import Cluster, Object, Where
from fabric_jobs.kubernetes.failures import Conflict, Missing
from fabric_jobs.kubernetes.informer import Informer

AGAIN_SECONDS = 5.0  # before the next try of what runs beside attempts
log = logging.getLogger(__name__)


class Controller:
    """The attempts. Everything but `secret`, `trouble` and `address` belongs to the loop's thread."""

    def __init__(self, root: Path, doors: Doors | None, on_news: Callable[[Path], None]) -> None:
        """Call `on_news(directory)` once the end of an attempt is recorded, and when its state becomes unknown."""
        self.secret = specs.Secret()
        self._root = root
        self._on_news = on_news
        self._cluster = Cluster(Where())
        self._index = LogIndex()
        self._doors = doors
        self._site: Site | None = None
        self._attempts: dict[str, Carried] = {}  # by name
        self._tasks: set[asyncio.Task[None]] = set()
        self._answered_at = -math.inf  # by the loop's clock

    async def inside(self) -> Inside:
        """Return names and addresses inside a pod."""
        return await self._opened().route.inside()

    def pools(self) -> Pools:
        """Return the pools of warm pods."""
        self._opened()
        return self._pools

    async def ping(self, fresh: float = 0.0) -> None:
        """Raise ExecutorUnavailable unless the cluster answers, or has answered within the last `fresh` seconds."""
        now = asyncio.get_running_loop().time
        if now() - self._answered_at >= fresh:
            self._answered_at = -math.inf
            await self._cluster.version()
            self._answered_at = now()

    def take(self, directory: Path) -> None:
        """Carry on an accepted attempt, unless that is under way."""
        name = directory.name
        if name in self._attempts:
            return
        site = self._opened()
        attempt = self._attempts[name] = self._made(directory, site, lambda: self._on_news(directory))
        for pod in site.pods.found.values():
            if pod["metadata"].get("annotations", {}).get(ATTEMPT) == name:
                attempt.take(pod, is_there=True)
        self._begin(self._carry_on(name, attempt))

    def stop(self, directory: Path, grace: float) -> None:
        """End an attempt, by force after `grace` seconds."""
        self.take(directory)
        self._attempts[directory.name].stop(grace)

    def trouble(self, directory: Path) -> ExecutorUnavailable | None:
        """Return why the state of an attempt is unknown."""
        attempt = self._attempts.get(directory.name)
        if attempt is not None and attempt.trouble is not None:
            return attempt.trouble
        return self._site.pods.trouble if self._site is not None else None

    def address(self, directory: Path) -> tuple[str, int]:
        """Return host and port of an attempt whose program runs; no host so far. Port 0: the one that it was told."""
        attempt = self._attempts.get(directory.name)
        return ("", 0) if attempt is None else attempt.address

    async def close(self) -> None:
        """Let go of everything."""
        self._index.close()
        if self._site is not None:
            self._site.turn.close()
        await self._cluster.close()

    async def _carry_on(self, name: str, attempt: Carried) -> None:
        try:
            await attempt.run()
        finally:
            self._attempts.pop(name, None)

    def _opened(self) -> Site:
        if self._site is None:
            owner = owner_of(self._root)
            self._site = Site(
                root=self._root,
                owner=owner,
                cluster=self._cluster,
                route=Route(self._cluster, owner, self._doors, self._weigh),
                extras=Extras(self._cluster, owner),
                pods=Informer(self._cluster, "pods", f"{OWNER}={owner}", self._note, self._tell_all),
                index=self._index,
                secret=self.secret,
                turn=Turn(self._root),
            )
            self._pools = Pools(self._site, self.take)
            self._begin(self._site.pods.run())
            self._begin(self._pools.run())
            self._begin(self._sweep(self._site))
            self._begin(self._welcome(self._site))
        return self._site

    def _made(self, directory: Path, site: Site, on_news: Callable[[], None]) -> Carried:
        kind = _kind_of(directory)
        return kind(directory, site, on_news) if kind else PooledAttempt(directory, site, on_news, self._pools)

    def _tell_all(self) -> None:
        """Let all attempts be asked about, since nothing is heard of their pods."""
        for name in self._attempts:
            self._on_news(self._root / name)

    def _weigh(self) -> None:
        """Let attempts end whose pods do not reach the gateway, unless one of them does."""
        if self._site is not None and any(attempt.has_called for attempt in self._attempts.values()):
            self._site.route.note_call()
        for attempt in self._attempts.values():
            attempt.changed.set()

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _note(self, pod: Object, is_there: bool) -> None:
        attempt = self._attempts.get(pod["metadata"].get("annotations", {}).get(ATTEMPT, ""))
        if POOL in pod["metadata"]["labels"]:
            self._pools.note(pod, is_there)
        elif attempt is not None:
            attempt.take(pod, is_there)

    async def _welcome(self, site: Site) -> None:
        """Let the gateway listen for pods that an owner before this one has left: they report to where it was."""
        await site.pods.is_synced.wait()
        while site.pods.found:
            try:
                await site.route.inside()
            except ExecutorUnavailable:
                await asyncio.sleep(AGAIN_SECONDS)
            except InvalidInput as error:
                log.warning("pods cannot report to this gateway: %s", error.message)
                return
            else:
                return

    async def _sweep(self, site: Site) -> None:
        """Delete what is left in the cluster of attempts that have ended or are unknown, by an owner that was killed."""
        while True:
            try:
                for kind in ("jobs", "deployments", "services", "secrets"):
                    found, _ = await site.cluster.list(kind, f"{OWNER}={site.owner}")
                    for item in found:
                        name = item["metadata"].get("annotations", {}).get(ATTEMPT, "")
                        directory = self._root / name
                        if {POOL, PROBE} & set(item["metadata"]["labels"]):  # others look after it
                            continue
                        if not name or read_exit(directory) is not None or not (directory / specs.FILE).exists():
                            await site.cluster.delete(kind, item["metadata"]["name"])
                return
            except (FabricJobsError, Missing, Conflict, OSError):
                await asyncio.sleep(AGAIN_SECONDS)


def _kind_of(directory: Path) -> type[Carried] | None:
    """Return what carries on an attempt; None: a pool. A spec that cannot be read is reported by its first step."""
    with suppress(OSError, specs.Unreadable):
        spec = specs.read_spec(directory)
        if spec.replicas is not None:
            return DaemonAttempt
        if len(spec.processes) > 1:
            return GroupAttempt
        if spec.processes[0].warm is not None:
            return None
    return PodAttempt

"""Makes and deletes the pods of pools, and sees whether they work."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from fabric_jobs.errors import ExecutorUnavailable, InvalidInput
from fabric_jobs.executors.attempt_files.exits import read_exit
from fabric_jobs.executors.kubernetes import making, pods, pool_manifest, pool_settings, pool_tokens
from fabric_jobs.executors.kubernetes.manifest import OWNER
from fabric_jobs.executors.kubernetes.pool_state import POOLED, STARTING, PodPool, PoolState, Worker, now
from fabric_jobs.kubernetes.cluster import Object
from fabric_jobs.kubernetes.failures import Conflict, Missing, QuotaFull

if TYPE_CHECKING:
    from fabric_jobs.executors.kubernetes.site import Site

LOOK_SECONDS = 1.0  # between two looks, while there are pods or attempts that wait for one
MISSING_SECONDS = 2.0  # without a pod, after which the cluster is asked why
PULL_SECONDS = 30.0  # for an image that cannot be pulled: the cluster has then tried it a few times
JOB_LABEL = "batch.kubernetes.io/job-name"

log = logging.getLogger(__name__)


class PoolPods:
    """The pods of all pools. Everything happens in the loop's thread."""

    def __init__(self, site: Site, state: PoolState, adopt: Callable[[Path], None]) -> None:
        """Call `adopt(directory)` for an attempt that an owner before this one has given to a pod."""
        self._site = site
        self._state = state
        self._adopt = adopt

    def note(self, pod: Object, is_there: bool) -> None:
        """Take what the cluster says of a pod of a pool."""
        labels, state = pod["metadata"]["labels"], self._state
        job = labels.get(JOB_LABEL, "")
        if not is_there and job not in state.workers:
            return
        worker = state.worker(job, labels[pool_manifest.POOL])
        worker.pod = pod
        if not is_there:
            del state.workers[job]
        given = state.given.get(worker.attempt)
        if given is not None:
            given.look()
        worker.news.set()
        state.news.set()

    async def run(self) -> None:
        """Look after the pods until this task is cancelled."""
        state = self._state
        while True:
            state.news.clear()
            try:
                if self._site.turn.is_ours():
                    await self._site.synced()
                    if not state.is_open.is_set():
                        await self._open()
                    await self._look()
            except (ExecutorUnavailable, OSError) as error:
                log.debug("pools are looked at again: %s", error)
            except (Missing, Conflict):  # somebody else has changed it meanwhile
                pass
            waits = any(pool.waiting for pool in state.pools.values())
            with suppress(TimeoutError):
                is_busy = waits or bool(state.workers) or not state.is_open.is_set()
                await asyncio.wait_for(state.news.wait(), LOOK_SECONDS if is_busy else None)

    async def _open(self) -> None:
        """Know what an owner before this one has left."""
        if not pool_tokens.were_made(self._site.root):
            self._state.is_open.set()
            return
        cluster, labels = self._site.cluster, f"{OWNER}={self._site.owner},{pool_manifest.POOL}"
        for directory in self._site.root.iterdir():
            if (directory / POOLED).exists() and read_exit(directory) is None:
                self._adopt(directory)
        jobs, _ = await cluster.list("jobs", labels)
        for job in jobs:
            self._state.worker(job["metadata"]["name"], job["metadata"]["labels"][pool_manifest.POOL])
        for secret in (await cluster.list("secrets", labels))[0]:
            if secret["metadata"]["name"] not in self._state.workers:  # its Job was never made
                await cluster.delete("secrets", secret["metadata"]["name"])
        self._state.is_open.set()

    async def _look(self) -> None:
        state = self._state
        for worker in list(state.workers.values()):
            try:
                await self._look_at(worker, state.pools.get(worker.pool))
            except Missing:  # its Job was deleted by somebody else, before there was a pod
                state.workers.pop(worker.job, None)
        for pool in list(state.pools.values()):
            if pool.waiting:
                await self._grow(pool)
            elif not any(state.of(pool.name)) and (not pool.cold or now() > pool.cold_until):
                del state.pools[pool.name]

    async def _look_at(self, worker: Worker, pool: PodPool | None) -> None:
        waits = pool is not None and bool(pool.waiting)
        if worker.pod is not None:
            self._heed(worker, worker.pod, pool)
        elif pool is not None and waits and now() - worker.since > MISSING_SECONDS:
            job = await self._site.cluster.get("jobs", worker.job)
            worker.is_leaving = worker.is_leaving or making.has_ended(job)  # its pod went while nobody watched
            _say(pool, await making.why_no_pod(self._site.cluster, job) or STARTING)
        if not worker.attempt and not waits and now() - worker.since > pool_settings.idle_seconds():
            worker.is_leaving = True
        if worker.is_leaving and not worker.is_deleted:
            await self._site.cluster.delete("jobs", worker.job)
            worker.is_deleted = True
            if worker.pod is None:
                self._state.workers.pop(worker.job, None)

    def _heed(self, worker: Worker, pod: Object, pool: PodPool | None) -> None:
        """See whether a pod works, and why it does not."""
        seen = pods.seen(pod)
        if seen.ended is not None:
            worker.is_leaving = True
            if not worker.instance:
                self._state.chill(worker.pool, seen.ended.cause or f"its pod ended with exit code {seen.ended.code}")
        elif seen.refused:
            self._state.chill(worker.pool, seen.refused)
        if not seen.pulling:
            worker.pulling = 0.0
        elif not worker.pulling:
            worker.pulling = now()
        elif now() - worker.pulling > PULL_SECONDS:
            self._state.chill(worker.pool, seen.pulling)
        if pool is not None and not worker.instance:
            _say(pool, seen.doing or STARTING)

    async def _grow(self, pool: PodPool) -> None:
        """Make pods for attempts that wait."""
        there = [worker for worker in self._state.of(pool.name) if not worker.is_leaving]
        wanted = len(pool.waiting) + sum(1 for worker in there if worker.attempt)
        for _ in range(min(pool_settings.most_pods(), wanted) - len(there)):
            if pool.cold or now() < pool.full_until:
                return
            try:
                await self._make(pool)
            except QuotaFull as error:
                pool.full_until = now() + LOOK_SECONDS
                _say(pool, error.message)
            except InvalidInput as error:
                self._state.chill(pool.name, error.message)

    async def _make(self, pool: PodPool) -> None:
        named = {
            "pool": pool.name,
            "token": pool_tokens.token_of(pool_tokens.secret_of(self._site.root), pool.name),
            "idle": pool_settings.idle_seconds(),
        }
        name, secret, job = pool_manifest.objects(pool.program, named, secrets.token_hex(4))
        making.check_size(secret)
        worker = self._state.worker(name, pool.name)
        cluster = self._site.cluster
        made = None
        try:
            await cluster.create("secrets", secret)
            made = await cluster.create("jobs", job)
        finally:
            if made is None:
                self._state.workers.pop(name, None)
        await cluster.patch("secrets", name, {"metadata": {"ownerReferences": [making.reference(made)]}})
        worker.since = now()


def _say(pool: PodPool, doing: str) -> None:
    """Tell the attempts that wait why."""
    if doing != pool.doing:
        pool.doing = doing
        for attempt in pool.waiting.values():
            attempt.look()

"""Makes and deletes the pods of pools, and sees whether they work."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from fabric_jobs.errors import ExecutorUnavailable, InvalidInput
from fabric_jobs.executors.attempt_files.exits import read_exit
from fabric_jobs.executors.kubernetes import making, pods, pool_manifest, pool_settings, pool_tokens
from fabric_jobs.executors.kubernetes.attempt import JOB_LABEL
from fabric_jobs.executors.kubernetes.carried import FULL_SECONDS
from fabric_jobs.executors.kubernetes.manifest import OWNER
from fabric_jobs.executors.kubernetes.pool_state import POOLED, STARTING, PodPool, PoolState, Worker, now
from fabric_jobs.kubernetes.cluster import Object
from fabric_jobs.kubernetes.failures import Conflict, Missing

if TYPE_CHECKING:
    from fabric_jobs.executors.kubernetes.site import Site

LOOK_SECONDS = 1.0  # between two looks, while there are pods or attempts that wait for one
PAUSE_SECONDS = 0.05  # the least between two looks, whatever happens
MISSING_SECONDS = 2.0  # without a pod, after which the cluster is asked why, and again
SUSPENDED_SECONDS = 30.0  # the same, while its Job is suspended: the watch tells of its pod
PULL_SECONDS = 30.0  # for an image that cannot be pulled: the cluster has then tried it a few times
IMPORT_SECONDS = 300.0  # from the start of a pod to its first call
SILENT_SECONDS = 40.0  # without a call of a pod, which calls every 20 seconds
LOST_PODS = 3  # of a pool, one after the other, that went before they called: the cluster does not keep them
IMPORTING = "imports packages"

log = logging.getLogger(__name__)


class PoolPods:
    """The pods of all pools. Everything happens in the loop's thread."""

    def __init__(self, site: Site, state: PoolState, adopt: Callable[[Path], None]) -> None:
        """Call `adopt(directory)` for an attempt that an owner before this one has given to a pod."""
        self._site = site
        self._state = state
        self._adopt = adopt
        self._loose: set[str] = set()  # names of Secrets that do not go with their Jobs yet
        self._warned = ""

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
            except (ExecutorUnavailable, OSError, Missing, Conflict) as error:
                log.debug("pools are looked at again: %s", error)
            except Exception:  # this task must go on, since all pools need it; the error is logged
                log.exception("pools are looked at again")
            await asyncio.sleep(PAUSE_SECONDS)  # others must run, even if a look waits for nothing and causes news
            waits = any(pool.waiting for pool in state.pools.values())
            is_busy = waits or bool(state.workers) or bool(self._loose) or not state.is_open.is_set()
            with suppress(TimeoutError):
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
            if not secret["metadata"].get("ownerReferences"):
                self._loose.add(secret["metadata"]["name"])
        self._state.is_open.set()

    async def _look(self) -> None:
        state = self._state
        for name in list(self._loose):
            with self._warning():
                await self._tie(name)
        for worker in list(state.workers.values()):
            with self._warning():
                await self._look_at(worker, state.pools.get(worker.pool))
        for pool in list(state.pools.values()):
            if pool.waiting:
                with self._warning():
                    await self._ask(pool)
                    await self._grow(pool)
                self._tell(pool)
            elif not any(state.of(pool.name)) and (not pool.cold or now() > pool.cold_until):
                del state.pools[pool.name]

    @contextmanager
    def _warning(self) -> Iterator[None]:
        """Log what is refused, once: the rest is looked at all the same."""
        try:
            yield
        except InvalidInput as error:
            if error.message != self._warned:
                self._warned = error.message
                log.warning("pools of warm pods: %s", error.message)

    async def _look_at(self, worker: Worker, pool: PodPool | None) -> None:
        if worker.pod is not None and not worker.is_leaving:
            self._heed(worker, worker.pod, pool)
        is_idle = not worker.attempt and not (pool is not None and pool.waiting)
        if is_idle and now() - worker.since > pool_settings.idle_seconds():
            worker.is_leaving = True
        if worker.is_leaving and not worker.is_deleted:
            await self._site.cluster.delete("jobs", worker.job)
            worker.is_deleted = True
            if worker.pod is None:
                self._state.workers.pop(worker.job, None)

    def _heed(self, worker: Worker, pod: Object, pool: PodPool | None) -> None:
        """See whether a pod works, and why it does not."""
        seen = pods.seen(pod)
        if worker.instance:
            is_silent = now() - worker.heard > SILENT_SECONDS
            worker.is_leaving = seen.ended is not None or (not worker.attempt and (seen.deleting or is_silent))
            return
        worker.doing = IMPORTING if seen.runs else seen.doing or STARTING
        worker.pulling = (worker.pulling or now()) if seen.pulling else 0.0
        worker.running = (worker.running or now()) if seen.runs else 0.0
        worker.is_leaving = seen.ended is not None or seen.deleting
        why = _lost(seen, pool) if worker.is_leaving else _hopeless(worker, seen)
        if why:
            worker.is_leaving = True
            if not any(other.instance and not other.is_leaving for other in self._state.of(worker.pool)):
                self._state.chill(worker.pool, why)

    async def _ask(self, pool: PodPool) -> None:
        """Ask the cluster why there is no pod, of one Job at a time."""
        found = [worker for worker in self._state.of(pool.name) if worker.pod is None and not worker.is_leaving]
        found = [worker for worker in found if now() - worker.since > MISSING_SECONDS]
        if not found or now() < pool.asked_until:
            return
        worker = min(found, key=lambda each: each.asked)
        worker.asked, pool.asked_until = now(), now() + MISSING_SECONDS
        try:
            job = await self._site.cluster.get("jobs", worker.job)
        except Missing:  # it was deleted by somebody else
            self._state.workers.pop(worker.job, None)
            return
        worker.is_leaving = worker.is_leaving or making.has_ended(job)  # its pod went while nobody watched
        if job["spec"].get("suspend"):
            pool.asked_until = now() + SUSPENDED_SECONDS
        worker.doing = await making.why_no_pod(self._site.cluster, job) or STARTING

    async def _grow(self, pool: PodPool) -> None:
        """Make pods for attempts that wait."""
        while not pool.cold and now() >= pool.full_until:
            there = [worker for worker in self._state.of(pool.name) if not worker.is_leaving]
            wanted = len(pool.waiting) + sum(1 for worker in there if worker.attempt)
            pool.full = ""
            if len(there) >= min(pool_settings.most_pods(), wanted):
                return
            try:
                await self._make(pool)
            except ExecutorUnavailable as error:  # such as for a quota
                pool.full, pool.full_until = error.message, now() + FULL_SECONDS
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
        self._loose.add(name)
        made = None
        try:
            await self._site.cluster.create("secrets", secret)
            made = await self._site.cluster.create("jobs", job)
        finally:
            if made is None:  # as far as is known; see `_tie`
                self._state.workers.pop(name, None)
        worker.since = now()
        await self._tie(name, made)

    async def _tie(self, name: str, job: Object | None = None) -> None:
        """Let a Secret go with its Job; delete one whose Job was never made."""
        cluster = self._site.cluster
        try:
            owner = making.reference(job or await cluster.get("jobs", name))
            await cluster.patch("secrets", name, {"metadata": {"ownerReferences": [owner]}})
        except Missing:
            await cluster.delete("secrets", name)
        self._loose.discard(name)

    def _tell(self, pool: PodPool) -> None:
        """Tell the attempts of a pool why they wait, if that has changed."""
        there = [worker for worker in self._state.of(pool.name) if not worker.is_leaving]
        doing = STARTING
        if starting := [worker.doing for worker in there if not worker.instance]:
            doing = min(starting, key=lambda each: (each == STARTING, each))
        elif there:
            doing = f"all pods of its pool are busy ({len(there)})"
        doing = pool.full or doing
        if doing != pool.doing:
            pool.doing = doing
            for attempt in pool.waiting.values():
                attempt.look()


def _hopeless(worker: Worker, seen: pods.Seen) -> str:
    """Return why a pod that has not called never will; empty while it may."""
    if worker.pulling and now() - worker.pulling > PULL_SECONDS:
        return seen.pulling
    if worker.running and now() - worker.running > IMPORT_SECONDS:
        return f"its packages were not imported within {IMPORT_SECONDS:g} seconds"
    return seen.refused


def _lost(seen: pods.Seen, pool: PodPool | None) -> str:
    """Return why a pod that went before it called shows that its pool does not work; empty if it does not show that.

    One that was taken away, or found no gateway and ended well, shows it only after others before it.
    """
    if seen.ended is not None and seen.ended.code and not seen.deleting:
        return seen.ended.cause or f"its pod ended with exit code {seen.ended.code}"
    if pool is None:
        return ""
    pool.lost += 1
    if pool.lost < LOST_PODS:
        return ""
    cause = seen.ended.cause if seen.ended is not None else ""
    return cause or f"{LOST_PODS} of its pods ended before they took an attempt"

"""The pools of warm pods: a pod takes attempts one after the other, and forks each from a process that has imported its packages.

A pool is for one program of one skill; `pool_manifest.key` says what makes two programs one. It has as many pods as attempts
wait or run, up to a limit; a pod without an attempt is deleted after a while (`pool_pods`). Whatever keeps a pool from working
makes its attempts start cold, and those say what is wrong.

A pod keeps one call of `take` open. The directory of an attempt decides: `pooled` names its pod, before that is told of it. So
a pod that says that it has nothing, although `pooled` names it, never got the answer, and gets it again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fabric_jobs.errors import ExecutorUnavailable, StaleAttempt
from fabric_jobs.executors.kubernetes import pods, pool_manifest, pool_tokens
from fabric_jobs.executors.kubernetes.pool_pods import PoolPods
from fabric_jobs.executors.kubernetes.pool_state import PodPool, Pooled, PoolProgram, PoolState, Worker, now
from fabric_jobs.kubernetes.cluster import Object

if TYPE_CHECKING:
    from fabric_jobs.executors.kubernetes.site import Site

TAKE_SECONDS = 20.0  # how long a call waits for something to say


class Pools:
    """All pools of an executor. Everything happens in the loop's thread."""

    def __init__(self, site: Site, adopt: Callable[[Path], None]) -> None:
        """Call `adopt(directory)` for an attempt that an owner before this one has given to a pod."""
        self._site = site
        self._state = PoolState()
        self._pods = PoolPods(site, self._state, adopt)
        self.note = self._pods.note
        self.run = self._pods.run

    # What attempts say

    def offer(self, attempt: Pooled, program: PoolProgram) -> PodPool:
        """Let an attempt wait for a pod of its pool, unless that does not work (`cold`). Raises OSError."""
        state, secret = self._state, pool_tokens.secret_of(self._site.root)
        name = pool_manifest.key(program, secret)
        pool = state.pools.setdefault(name, PodPool(name=name, program=program))
        pool.program = program
        if pool.cold and now() >= pool.cold_until:
            pool.cold = ""
        if not pool.cold and attempt.name not in pool.waiting:
            pool.waiting[attempt.name] = attempt
            for worker in state.of(name):
                worker.news.set()
            state.news.set()
        return pool

    def hold(self, attempt: Pooled) -> None:
        """Note that a pod has an attempt."""
        self._state.hold(attempt)

    def let_go(self, attempt: Pooled) -> None:
        """Forget an attempt that has ended, or waits no longer."""
        self._state.let_go(attempt)

    def urge(self, attempt: Pooled) -> None:
        """Let the pod of an attempt hear at once that it is to end."""
        worker = self._state.workers.get(attempt.job)
        if worker is not None:
            worker.news.set()

    def pod_of(self, attempt: Pooled) -> Object | None:
        """Return the pod of an attempt, as it was seen last; None if it is gone."""
        worker = self._state.workers.get(attempt.job)
        return None if worker is None else worker.pod

    # What pods say

    async def take(self, pool: str, who: tuple[str, str], attempt: str, grace: float) -> dict[str, Any]:
        """Return what the caller is to do next; nothing after a while.

        `who` is its Job, and its process. `attempt` is what it runs, and `grace` what that was given to end (infinite: nothing).
        Raises ExecutorUnavailable, or StaleAttempt if the caller is none of ours.
        """
        worker = await self._called(pool, who)
        worker.calls += 1
        call, end = worker.calls, now() + TAKE_SECONDS
        while worker.calls == call:
            worker.news.clear()
            said = await self._say(worker, attempt, grace)
            if said or now() >= end:
                return said
            with suppress(TimeoutError):
                await asyncio.wait_for(worker.news.wait(), end - now())
        return {}

    async def ended(self, pool: str, who: tuple[str, str], attempt: str, code: int, *, is_oom: bool) -> None:
        """Record how an attempt has ended. Idempotent. Raises ExecutorUnavailable, or StaleAttempt."""
        worker = await self._called(pool, who)
        found = self._state.given.get(attempt)
        if found is not None and worker.attempt == attempt:
            try:
                found.report(code, is_oom=is_oom)
            except OSError as error:
                raise ExecutorUnavailable(f"the end of {attempt} cannot be stored: {error.strerror}.") from error
            self._state.let_go(found)
            found.look()
        worker.reported = attempt

    async def refuse(self, pool: str, who: tuple[str, str], why: str) -> None:
        """Let the attempts of a pool start cold, since its program cannot be forked. Raises as `ended` does."""
        await self._called(pool, who)
        self._state.chill(pool, why)

    async def _called(self, pool: str, who: tuple[str, str]) -> Worker:
        job, instance = who
        if job in self._state.workers:
            self._state.workers[job].heard = now()
        if not self._site.turn.is_ours():
            raise ExecutorUnavailable("another process has its turn.")
        await self._site.synced()
        await self._state.is_open.wait()
        worker = self._state.workers.get(job)
        if worker is None or worker.pool != pool or worker.instance not in ("", instance):
            raise StaleAttempt("this pod is not one of this gateway's, or not any more.")
        if worker.pod is None:
            raise ExecutorUnavailable("this pod has not been seen yet.")
        if not worker.instance and pool in self._state.pools:
            self._state.pools[pool].lost = 0
        worker.instance = instance
        self._site.route.note_call()
        return worker

    async def _say(self, worker: Worker, attempt: str, grace: float) -> dict[str, Any]:
        given = self._state.given.get(worker.attempt)
        if given is None:
            if attempt and attempt != worker.reported:  # its end is recorded: it was lost, as far as anybody knew
                return {"stop": attempt, "grace": 0.0} if grace > 0.0 else {}
            given = self._assign(worker)
            if given is None:
                return {}
        if given.name != attempt:
            order = await given.order()
            return {} if order is None else {"order": order}
        return {"stop": attempt, "grace": given.grace} if given.grace < grace else {}

    def _assign(self, worker: Worker) -> Pooled | None:
        """Give a pod the next attempt that waits, durably."""
        pool = self._state.pools.get(worker.pool)
        if worker.is_leaving or worker.pod is None or pool is None or not pool.waiting:
            return None
        seen = pods.seen(worker.pod)
        if seen.deleting or seen.ended is not None:
            return None
        name, found = next(iter(pool.waiting.items()))
        try:
            found.give(worker.job, worker.instance)
        except OSError as error:
            raise ExecutorUnavailable(f"{name} cannot be given away: {error.strerror}.") from error
        del pool.waiting[name]
        self._state.hold(found)
        found.look()
        return found

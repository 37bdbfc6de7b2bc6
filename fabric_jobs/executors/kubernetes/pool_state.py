"""What is known of pools: the attempts that wait, the pods that there are, and which pod has which attempt."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from fabric_jobs.executors.base import AttemptSpec
from fabric_jobs.executors.kubernetes.around import Around
from fabric_jobs.kubernetes.cluster import Object

POOLED, COLD = "pooled", "cold"  # files of an attempt; see `pooled`
COLD_SECONDS = 300.0  # how long a pool that does not work is not tried again
STARTING = "starting"


class Pooled(Protocol):
    """An attempt that is for a pool. `look` lets it see what has become of its pod or its pool."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def job(self) -> str:
        """The Job of the pod that has it; empty while it waits."""

    @property
    def instance(self) -> str:
        """The process in that pod."""

    @property
    def grace(self) -> float:
        """The shortest grace period in which it is to end; infinite: it is not to end."""

    def give(self, job: str, instance: str) -> None:
        """Note durably that a pod has it. Raises OSError."""

    async def order(self) -> dict[str, Any] | None:
        """Return what its pod is told; None if nobody knows any more, and it has ended."""

    def look(self) -> None:
        """Look again, soon."""

    def report(self, code: int, *, is_oom: bool) -> None:
        """Record durably how it ended. Raises OSError."""


@dataclass(kw_only=True)
class Worker:
    """One pod of a pool, known by its Job."""

    job: str
    pool: str
    pod: Object | None = None  # as it was seen last
    instance: str = ""  # the process in it that has called
    attempt: str = ""  # the name of the one that it has
    reported: str = ""  # the name of the last one whose end it has reported
    calls: int = 0  # of `take`; only the newest one is answered
    since: float  # when it was made or last had an attempt, by the loop's clock
    heard: float  # when it last called, or was made known
    pulling: float = 0.0  # since when its image cannot be pulled
    running: float = 0.0  # since when it runs without having called
    doing: str = STARTING  # why it has not called yet
    asked: float = 0.0  # when the cluster was last asked why it has no pod
    is_leaving: bool = False  # its Job is to be deleted
    is_deleted: bool = False
    news: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True, kw_only=True)
class PoolProgram:
    """What the pods of a pool run, as one of its attempts knows it."""

    spec: AttemptSpec
    words: tuple[str, ...]
    around: Around


@dataclass(kw_only=True)
class PodPool:
    """The attempts of one program that wait for a pod."""

    name: str
    program: PoolProgram  # of the newest attempt
    waiting: dict[str, Pooled] = field(default_factory=dict)
    doing: str = STARTING  # why they wait
    cold: str = ""  # why they start cold
    cold_until: float = 0.0
    full: str = ""  # why no more pods can be made
    full_until: float = 0.0  # no pod is made before
    asked_until: float = 0.0  # the cluster is not asked again before why there is no pod
    lost: int = 0  # pods that went before they called, one after the other


class PoolState:
    """All pools of an executor. Everything happens in the loop's thread."""

    def __init__(self) -> None:
        self.pools: dict[str, PodPool] = {}
        self.workers: dict[str, Worker] = {}  # by Job
        self.given: dict[str, Pooled] = {}  # attempts that pods have, by name
        self.news = asyncio.Event()  # for whoever looks after the pods
        self.is_open = asyncio.Event()  # once it is known what an owner before this one has left

    def worker(self, job: str, pool: str) -> Worker:
        """Return the pod of a Job, made known if it was not."""
        if job not in self.workers:
            made = self.workers[job] = Worker(job=job, pool=pool, since=now(), heard=now())
            for attempt in self.given.values():
                if attempt.job == job:
                    made.attempt, made.instance = attempt.name, attempt.instance
        return self.workers[job]

    def of(self, pool: str) -> Iterator[Worker]:
        """Yield the pods of a pool."""
        return (worker for worker in list(self.workers.values()) if worker.pool == pool)

    def hold(self, attempt: Pooled) -> None:
        """Note that a pod has an attempt."""
        self.given[attempt.name] = attempt
        worker = self.workers.get(attempt.job)
        if worker is not None:
            worker.attempt, worker.instance = attempt.name, attempt.instance

    def let_go(self, attempt: Pooled) -> None:
        """Forget an attempt that has ended, or waits no longer; its pod may take another one."""
        for pool in self.pools.values():
            pool.waiting.pop(attempt.name, None)
        self.given.pop(attempt.name, None)
        worker = self.workers.get(attempt.job)
        if worker is not None and worker.attempt == attempt.name:
            worker.attempt, worker.since = "", now()
            worker.news.set()

    def chill(self, name: str, why: str) -> None:
        """Let the attempts of a pool start cold for some time."""
        for worker in self.of(name):
            worker.is_leaving = worker.is_leaving or not worker.attempt
        pool = self.pools.get(name)
        if pool is not None and not pool.cold:
            pool.cold, pool.cold_until, pool.lost = why.rstrip("."), now() + COLD_SECONDS, 0
            waiting, pool.waiting = pool.waiting, {}
            for attempt in waiting.values():
                attempt.look()
            self.news.set()


def now() -> float:
    """Return the time by the loop's clock."""
    return asyncio.get_running_loop().time()

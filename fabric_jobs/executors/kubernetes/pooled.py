"""One attempt for a pool: waits for a pod, is run by it, and ends with its report; or starts cold, in a pod of its own.

<root>/<name>/pooled      the Job and the process of the pod that has it; written before that is told
              cold        it starts cold
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fabric_jobs import whole_file
from fabric_jobs.errors import ExecutorUnavailable, InvalidInput
from fabric_jobs.executors import attempt_files
from fabric_jobs.executors.attempt_files.specs import Forgotten, Unreadable
from fabric_jobs.executors.base import LOST, OUT_OF_MEMORY, REFUSED, STOPPED, AttemptExit
from fabric_jobs.executors.kubernetes import making, pods, pool_manifest, pool_settings
from fabric_jobs.executors.kubernetes.attempt import ENDED_WHEN_ASKED, PodAttempt
from fabric_jobs.executors.kubernetes.carried import AGAIN_SECONDS, OTHERS_SECONDS
from fabric_jobs.executors.kubernetes.pool_state import COLD, POOLED, PoolProgram, now
from fabric_jobs.executors.kubernetes.pools import Pools
from fabric_jobs.executors.kubernetes.salvage import CUT
from fabric_jobs.executors.kubernetes.site import Site

FORCE_SECONDS = 5.0  # after its grace period, before the pod of an attempt is deleted
KILLED = 137


class PooledAttempt(PodAttempt):
    """An attempt with `warm`."""

    def __init__(self, directory: Path, site: Site, on_news: Callable[[], None], pools: Pools) -> None:
        """Call `on_news()` once the end is recorded, and when the state becomes unknown."""
        super().__init__(directory, site, on_news)
        self._pools = pools
        self._program: PoolProgram | None = None
        self._forced_at = math.inf  # when its pod is deleted, by the loop's clock
        self.job, self.instance = _given(directory)
        if self.job and not self._state.has_ended:
            pools.hold(self)
            site.index.follow(directory)

    @property
    def grace(self) -> float:
        """The shortest grace period in which it is to end; infinite: it is not to end."""
        return self._grace

    def give(self, job: str, instance: str) -> None:
        """Note durably that a pod has it. Raises OSError."""
        text = json.dumps({"job": job, "instance": instance})
        whole_file.write(self._directory / POOLED, text, durable=True)
        self.job, self.instance = job, instance
        self._site.index.follow(self._directory)

    async def order(self) -> dict[str, Any] | None:
        """Return what its pod is told; None if nobody knows any more, and it has ended."""
        try:
            return pool_manifest.order(self._program or await self._read())
        except InvalidInput as error:
            ended = AttemptExit(None, REFUSED, str(error))
        except (Forgotten, Unreadable):
            ended = AttemptExit(None, LOST)
        except OSError as error:
            raise ExecutorUnavailable(f"{self.name} cannot be read: {error.strerror}.") from error
        if not self._state.has_ended:
            self._end(ended)
        self.look()
        return None

    def look(self) -> None:
        """Look again, soon."""
        self.changed.set()

    def report(self, code: int, *, is_oom: bool) -> None:
        """Record durably how it ended. Raises OSError."""
        if not self._state.has_ended:
            if not self._state.is_whole:
                self._state.remark(CUT)
            self._end(self._ended(code, is_oom=is_oom))

    def _check_way(self) -> None:
        """Raise InvalidInput if a probe beside it has found that pods do not reach the gateway."""
        if self._is_cold:
            super()._check_way()
            return
        failure = self._site.route.failure
        waits = self._program is not None and not self.job and not self._state.is_stopped
        if failure is not None and waits:
            raise failure

    async def _step(self) -> float | None:
        if self._is_cold:
            return await super()._step()
        if not self._site.turn.is_ours():
            return OTHERS_SECONDS
        await self._site.synced()
        return await (self._watch() if self.job else self._wait())

    async def _wait(self) -> float | None:
        """Wait for a pod, or start cold."""
        if self._state.is_stopped:
            self._end(AttemptExit(ENDED_WHEN_ASKED, STOPPED))
            return 0.0
        if self._program is None:
            pool_settings.check()
            self._program = await self._read()
        why = pool_manifest.unfit(self._program.spec, self._program.words)
        pool = None if why else self._pools.offer(self, self._program)
        if pool is not None and not pool.cold:
            self._state.say(pool.doing)
            return None
        self._state.remark(f"starts cold: {why or (pool.cold if pool is not None else '')}")
        attempt_files.mark(self._directory / COLD)
        return 0.0

    async def _watch(self) -> float | None:
        """See whether its pod is well, and let it end the program when that is wanted."""
        pod = self._pools.pod_of(self)
        seen = None if pod is None else pods.seen(pod, stopped=self._state.is_stopped)
        if pod is None or seen is None or seen.ended is not None:
            if not self._state.is_whole:
                self._state.remark(CUT)
            self._end(self._abandoned(seen.ended if seen is not None else None))
            return 0.0
        self._note_start()
        if self._grace == math.inf:
            return None
        if self._grace < self._asked:
            self._asked, self._forced_at = self._grace, now() + self._grace + FORCE_SECONDS
            self._pools.urge(self)
        if now() < self._forced_at:
            return self._forced_at - now()
        await self._site.cluster.delete("pods", str(pod["metadata"]["name"]), gracePeriodSeconds=1)
        return AGAIN_SECONDS

    def _ended(self, code: int, *, is_oom: bool) -> AttemptExit:
        """Return how a program ended whose pod has reported its exit code."""
        pod = self._pools.pod_of(self)
        if pod is not None and not self._state.is_stopped and (why := pods.taken_away(pod, code, at=0.0)):
            return AttemptExit(None, LOST, why)
        return AttemptExit(code, OUT_OF_MEMORY if is_oom else "")

    def _abandoned(self, ended: AttemptExit | None) -> AttemptExit:
        """Return how a program ended whose pod has ended without a report; None: it is gone."""
        if self._state.is_stopped:
            return AttemptExit(KILLED, STOPPED)
        if ended is None:
            return AttemptExit(None, LOST, pods.DELETED)
        if ended.reason == OUT_OF_MEMORY:
            return ended
        return AttemptExit(None, LOST, ended.cause or f"its pod ended with exit code {ended.code}")

    def _end(self, ended: AttemptExit, ended_at: float = 0.0) -> None:
        super()._end(ended, ended_at)
        self._pools.let_go(self)

    async def _clean_up(self) -> None:
        """A pod that has run it runs others."""
        if not self.job:
            await super()._clean_up()

    async def _read(self) -> PoolProgram:
        spec, around = await making.prepared(self._directory, self._site, contents=False)
        return PoolProgram(spec=spec, words=making.program_of(spec.processes[0]), around=around)

    @property
    def _is_cold(self) -> bool:
        return (self._directory / COLD).exists()


def _given(directory: Path) -> tuple[str, str]:
    """Return the Job and the process of the pod that has an attempt; empty texts if none has it."""
    try:
        found = json.loads((directory / POOLED).read_text())
        return str(found["job"]), str(found["instance"])
    except (OSError, ValueError, KeyError, TypeError):
        return "", ""

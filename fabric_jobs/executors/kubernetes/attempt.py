"""One attempt of a program that ends: makes its Job, reads its pod, records its end; see `state` for the files."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

from fabric_jobs.errors import InvalidInput
from fabric_jobs.executors import attempt_files
from fabric_jobs.executors.attempt_files import shipped
from fabric_jobs.executors.base import LOST, NOT_STARTED, STOPPED, STREAMS, AttemptExit
from fabric_jobs.executors.kubernetes import making, pods, salvage
from fabric_jobs.executors.kubernetes.backoff import Backoff
from fabric_jobs.executors.kubernetes.carried import AGAIN_SECONDS, OTHERS_SECONDS, Carried
from fabric_jobs.executors.kubernetes.events import WaitingPod
from fabric_jobs.executors.kubernetes.manifest import job_name
from fabric_jobs.executors.kubernetes.output import DIRECTORY, ContainerLog, Stdout
from fabric_jobs.executors.kubernetes.pods import PROGRAM, Seen
from fabric_jobs.executors.kubernetes.site import Site
from fabric_jobs.executors.kubernetes.state import NO_PYTHON
from fabric_jobs.kubernetes.cluster import Object
from fabric_jobs.kubernetes.failures import Missing

MISSING_SECONDS = 2.0  # without a pod, after which its Job is asked for
SUSPENDED_SECONDS = 30.0  # the same, while its Job is suspended: the watch tells of its pod
ENDED_WHEN_ASKED = 128 + 15  # exit code of what was stopped before it began
JOB_LABEL = "batch.kubernetes.io/job-name"


class PodAttempt(Carried):
    """An attempt of a program that ends."""

    def __init__(self, directory: Path, site: Site, on_news: Callable[[], None]) -> None:
        """Call `on_news()` once the end is recorded, and when the state becomes unknown."""
        super().__init__(directory, site, on_news)
        self._pod: Object | None = None
        self._was_seen = False  # a pod of it
        self._asked = math.inf  # the shortest grace period that its pod was given
        self._kill_at = math.inf  # by the loop's clock
        self._missing = Backoff(MISSING_SECONDS)
        self._log: ContainerLog | None = None
        self._waiting = WaitingPod(site.cluster, site.route)
        self._follows = False  # its program was seen running
        self._is_watched = False  # the index watches its files

    @property
    def address(self) -> tuple[str, int]:
        """The address of its pod, once its program runs."""
        if self._pod is None or not pods.seen(self._pod).runs:
            return "", 0
        return pods.address(self._pod), 0

    def take(self, pod: Object, is_there: bool) -> None:
        """Take what the cluster says of its pod."""
        if pod["metadata"]["labels"].get(JOB_LABEL) != self._job:
            return  # of its Job before
        self._pod, self._was_seen = pod if is_there or self._last_words(pod) else None, True
        self.changed.set()

    async def _step(self) -> float | None:
        if not self._site.turn.is_ours():
            return OTHERS_SECONDS
        await self._site.synced()
        if not await self._made():
            self._end(AttemptExit(ENDED_WHEN_ASKED, STOPPED))
            return 0.0
        if not self._is_watched:  # it may print long before the cluster says that it runs
            self._is_watched = True
            self._site.index.follow(self._directory)
        if self._pod is None:
            return await self._look_for_pod()
        self._missing.end()
        seen = self._seen(self._pod)
        if seen.ended is not None:
            return await self._finish(seen, seen.ended)
        if self._state.is_stopped and self._grace < self._asked:
            await self._ask_to_end()
        elif seen.refused:
            raise InvalidInput(f"the cluster says: {seen.refused}.")
        if seen.runs:
            self._note_start()
            return self._until_killed()
        again = await self._waiting.look(self._pod, seen)
        self._state.say(self._waiting.why or seen.doing)
        return _sooner(again, self._until_killed())

    async def _made(self) -> bool:
        """Make its Job, unless it is to stop; return whether there is one. It may be there without all that belongs to it."""
        if self._state.is_made:
            return True
        if self._state.is_stopped:
            return self._was_seen or await making.is_there(self._site.cluster, "jobs", self._job)
        await making.make(self._directory, self._site, plain=self._state.is_plain)
        self._state.note_made()
        return True

    def _note_start(self) -> None:
        if not self._follows:
            self._follows = True
            self._state.say("")
        self._follow()

    def _follow(self) -> None:
        """Follow the log of its pod, where no launcher sends its output."""
        if self._state.is_plain and self._log is None and self._pod is not None:
            source = partial(self._site.cluster.log_pieces, str(self._pod["metadata"]["name"]), PROGRAM)
            place = self._directory / DIRECTORY / PROGRAM
            self._log = ContainerLog(source, place, Stdout(self._directory), self._remark)

    async def _look_for_pod(self) -> float:
        """Find out why there is no pod (yet): its Job may be gone, or the cluster refuses the pod."""
        now = asyncio.get_running_loop().time()
        if not self._was_seen and not self._state.is_stopped:
            if not self._missing.is_on:
                self._state.say(pods.STARTING)
            if left := self._missing.left(now):
                return left
        try:
            job = await self._site.cluster.get("jobs", self._job)
        except Missing:
            return await self._lose("its Job was deleted by somebody else")
        if self._state.is_stopped:
            await self._site.cluster.delete("jobs", self._job, propagationPolicy="Foreground")
            return AGAIN_SECONDS
        if self._was_seen or making.has_ended(job):  # there was a pod, and its Job makes no other one
            return await self._lose(pods.DELETED)
        why = await making.why_no_pod(self._site.cluster, job)
        if why:
            self._state.say(why)
        pause = self._missing.asked(now)
        return SUSPENDED_SECONDS if job["spec"].get("suspend") else pause

    async def _ask_to_end(self) -> None:
        """Delete the pod: its program gets TERM, and KILL after whole seconds. Only its launcher can kill it sooner afterwards."""
        grace = self._grace
        if self._asked < math.inf:
            self._kill_at = asyncio.get_running_loop().time() + grace
        else:
            await self._delete_pod(grace)
        self._asked = grace

    async def _delete_pod(self, grace: float) -> None:
        assert self._pod is not None
        name = str(self._pod["metadata"]["name"])
        await self._site.cluster.delete("pods", name, gracePeriodSeconds=max(1, math.ceil(grace)))

    def _until_killed(self) -> float | None:
        """Let the launcher kill the program when it is time; return how many seconds are left, None for no such time."""
        if self._kill_at == math.inf:
            return None
        left = self._kill_at - asyncio.get_running_loop().time()
        if left <= 0:
            attempt_files.mark(self._directory / shipped.KILL)
            self._kill_at = math.inf
            return None
        return left

    async def _finish(self, seen: Seen, ended: AttemptExit) -> float | None:
        never_ran = (ended.code, ended.reason) == (pods.NOT_RUN, NOT_STARTED)
        if never_ran and not self._state.is_plain and not self._state.is_stopped:
            return await self._begin_plainly(ended)
        if self.has_called:
            self._site.route.note_call()
        if ended.reason != NOT_STARTED and (seen.ended_at or self._has_printed()):
            self._follow()
            await self._await_output()
        self._end(ended, seen.ended_at)
        return 0.0

    async def _lose(self, why: str) -> float:
        """Record the end of an attempt whose pod is gone without a word."""
        if self._has_printed():
            await self._await_output()
        self._end(self._without_code(why))
        return 0.0

    def _has_printed(self) -> bool:
        """Return whether its program has run, as far as is known, so that it may have printed something."""
        return self._follows or any((self._directory / stream).stat().st_size for stream in STREAMS)

    async def _begin_plainly(self, ended: AttemptExit) -> float:
        """Start it again without the runtime layer, since its image has no Python that could start it."""
        await self._site.cluster.delete("jobs", self._job, propagationPolicy="Foreground")
        self._state.begin_plainly(NO_PYTHON)
        self._pod, self._was_seen = None, False
        return 0.0

    async def _await_output(self) -> None:
        """Wait until its output is there; remark what is missing of it."""
        if self._log is not None:
            await self._log.drained(insists=self._pod is not None and not self._state.is_stopped)
        elif not await salvage.arrived(self._state):
            found = await self._salvaged(str(self._pod["metadata"]["name"])) if self._pod is not None else salvage.CUT
            self._state.remark(found)

    async def _salvaged(self, pod: str) -> str:
        return await salvage.salvage(self._site.cluster, pod, self._directory, self._site.salvages)

    def _without_code(self, why: str) -> AttemptExit:
        return AttemptExit(ENDED_WHEN_ASKED, STOPPED) if self._state.is_stopped else AttemptExit(None, LOST, why)

    def _end(self, ended: AttemptExit, ended_at: float = 0.0) -> None:
        if ended.reason == LOST and self._state.is_stopped and not self._follows:  # it has not begun
            ended = AttemptExit(ENDED_WHEN_ASKED)
        self._site.index.forget(self._directory)
        self._state.end(ended, ended_at)
        self._site.secret.forget(self._directory)

    def _let_go(self) -> None:
        if self._log is not None:
            self._log.close()

    async def _clean_up(self) -> None:
        """Delete the Job, and with it its pod and its Secret. What is left is swept by the next owner."""
        await making.clean_up(self._site.cluster, self._job, owns_secret=self._state.is_made)

    @property
    def _job(self) -> str:
        return job_name(self._site.owner, self.name, plain=self._state.is_plain)

    def _last_words(self, pod: Object) -> bool:
        """Return whether a pod that is gone says how its program ended."""
        return self._seen(pod).ended is not None

    def _seen(self, pod: Object) -> Seen:
        return pods.seen(pod, stopped=self._state.is_stopped)


def _sooner(*pauses: float | None) -> float | None:
    """Return the shortest pause; None: until something changes."""
    return min((each for each in pauses if each is not None), default=None)

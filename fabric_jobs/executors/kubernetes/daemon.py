"""A daemon's attempt: makes its Deployment and Service, watches its pods, records its end; see `state` for the files.

It runs as long as its Deployment. The cluster replaces pods that are deleted or lost. When a program ends and no other copy
listens, the attempt ends with that exit, since the engine decides about another one.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from fabric_jobs.errors import InvalidInput
from fabric_jobs.executors.attempt_files.exits import read_ended_at, read_exit, write_exit
from fabric_jobs.executors.base import LOST, STOPPED, AttemptExit
from fabric_jobs.executors.kubernetes import daemon_making, tunnels
from fabric_jobs.executors.kubernetes.carried import AGAIN_SECONDS, OTHERS_SECONDS, Carried
from fabric_jobs.executors.kubernetes.copies import Copies, End, ended_last, together
from fabric_jobs.executors.kubernetes.manifest import job_name
from fabric_jobs.executors.kubernetes.pod_logs import MOST, PodLogs
from fabric_jobs.executors.kubernetes.site import Site
from fabric_jobs.executors.kubernetes.tunnels import Tunnels
from fabric_jobs.kubernetes.cluster import Object
from fabric_jobs.kubernetes.failures import Missing, RightMissing

MISSING_SECONDS = 2.0  # without a pod, after which its Deployment is asked for, and again
PULL_SECONDS = 30.0  # for an image that cannot be pulled: the cluster has then tried it a few times
LOOK_SECONDS = 0.2  # between two looks whether everything is gone, once the pods are
ENDED_WHEN_ASKED = 128 + 15  # exit code of what was stopped before it began
ENDING = "ending"  # the directory of the exit that its program had, while its Deployment is being deleted
DELETED = "its Deployment was deleted by somebody else"
TOO_MANY = f"the output of at most {MOST} copies at a time is kept"


class DaemonAttempt(Carried):
    """An attempt of a program that listens, in one or more copies."""

    def __init__(self, directory: Path, site: Site, on_news: Callable[[], None]) -> None:
        """Call `on_news()` once the end is recorded, and when the state becomes unknown."""
        super().__init__(directory, site, on_news)
        self.runs = False  # a copy of its program does, or did
        self._sent_before = math.inf  # its output comes from the cluster
        self._address = ("", 0)  # not known so far
        self._tunnels: Tunnels | None = None
        self._pods: dict[str, Object] = {}  # by uid
        self._ended: dict[str, Object] = {}  # pods that are gone, as they were last
        self._survived: frozenset[End] = frozenset()
        self._logs: PodLogs | None = None
        self._is_deleting = False
        self._missing_since = self._pulling_since = 0.0  # by the loop's clock

    @property
    def address(self) -> tuple[str, int]:
        """The address of its Service or of the tunnels to it, once a copy of its program runs."""
        return self._address if self.runs else ("", 0)

    def take(self, pod: Object, is_there: bool) -> None:
        """Take what the cluster says of one of its pods."""
        uid = str(pod["metadata"]["uid"])
        if is_there:
            self._pods[uid] = pod
        else:
            self._pods.pop(uid, None)
            self._ended = {uid: pod}
        self.changed.set()

    def _check_way(self) -> None:
        if self._ending is None:  # else it is being deleted
            super()._check_way()

    async def _step(self) -> float | None:
        if not self._site.turn.is_ours():
            return OTHERS_SECONDS
        await self._site.synced()
        self._follow()
        if self._state.is_stopped or self._ending is not None:
            return await self._end_it()
        if not self._state.is_made:
            await self._make()
        found = together(self._pods.values(), self._survived)
        if found.ready:
            self._survived = found.ends
        if not self._address[0]:
            self._address = await self._find_address(found)
        if self._tunnels is not None:
            await self._tunnels.lead_to(found.ready)
        if found.ended is not None:
            self._end(found.ended, found.ended_at)
            return 0.0
        if found.refused:
            raise InvalidInput(f"the cluster says: {found.refused}.")
        return self._note(found) if self._pods else await self._look_for_pods()

    async def _make(self) -> None:
        if await self._site.nearness.known(self._site.cluster) is False:
            await tunnels.check(self._site.cluster)
        await daemon_making.make(self._directory, self._site)
        self._state.note_made()

    async def _find_address(self, found: Copies) -> tuple[str, int]:
        site = self._site
        service = await daemon_making.service_of(site.cluster, self._object)
        is_near = await site.nearness.known(site.cluster)
        if service is None or (is_near is None and not found.ready):
            return "", 0
        host, port = str(service["spec"]["clusterIP"]), int(service["spec"]["ports"][0]["port"])
        if is_near or (is_near is None and await site.nearness.learn(host, port)):
            return host, port
        await tunnels.check(site.cluster)
        self._tunnels = Tunnels(site.cluster, port)
        return tunnels.LOCALHOST, await self._tunnels.open()

    def _note(self, found: Copies) -> float | None:
        """Note whether it runs, and why not; raise InvalidInput when its image cannot be pulled."""
        now = asyncio.get_running_loop().time()
        self._missing_since = 0.0
        self.runs = self.runs or found.runs
        self._state.say("" if found.runs else found.doing)
        if found.failing:
            self._state.remark("the program of one of its copies ends again and again, while others listen")
        if not found.pulling or found.runs:
            self._pulling_since = 0.0
            return None
        self._pulling_since = self._pulling_since or now
        if now - self._pulling_since > PULL_SECONDS:
            raise InvalidInput(f"the cluster cannot pull its image: {found.pulling}.")
        return AGAIN_SECONDS

    def _follow(self) -> None:
        if self._logs is None:
            self._logs = PodLogs(self._site.cluster, self._directory, self._remark)
            self._site.index.follow(self._directory)
        self._logs.follow(self._pods.values())
        if self._logs.leaves_out:
            self._state.remark(TOO_MANY)

    async def _look_for_pods(self) -> float:
        """Find out why there is no pod (yet): its Deployment may be gone, or the cluster refuses the pods."""
        now = asyncio.get_running_loop().time()
        if not self._missing_since:
            self._missing_since = now
            self._state.say("starting")
            return MISSING_SECONDS
        try:
            found = await self._site.cluster.get("deployments", self._object)
        except Missing:
            self._end(AttemptExit(None, LOST, DELETED))
            return 0.0
        self._state.say(daemon_making.why_no_pod(found) or "starting")
        return MISSING_SECONDS

    async def _end_it(self) -> float | None:
        """Delete what was made of it so far, which is nothing before all rights are there."""
        try:
            return await self._delete()
        except RightMissing:
            if self._state.is_made:
                raise
        self._record(*self._how_it_ended())
        return 0.0

    async def _delete(self) -> float | None:
        """Delete its objects, and record its end when nothing of it is left."""
        cluster, seconds = self._site.cluster, 0.0 if self._ending is not None else self._grace
        if not self._is_deleting:
            self._state.say("ending")
            if self._ending is not None and self._logs is not None:
                await self._logs.catch_up()
            await daemon_making.delete(cluster, self._object)
            self._is_deleting = True
        for pod in self._pods.values():
            given = pod["metadata"].get("deletionGracePeriodSeconds")
            wanted = max(1, math.ceil(seconds)) if math.isfinite(seconds) else given
            if given is not None and wanted is not None and wanted < given:
                await cluster.delete("pods", pod["metadata"]["name"], gracePeriodSeconds=wanted)
        if self._pods:
            return AGAIN_SECONDS
        with suppress(Missing):
            await cluster.get("deployments", self._object)  # until its ReplicaSet and all of its pods are gone
            return LOOK_SECONDS
        if self._logs is not None:
            await self._logs.drained()
        self._record(*self._how_it_ended())
        return 0.0

    def _how_it_ended(self) -> tuple[AttemptExit, float]:
        found = self._ending
        if found is not None:
            return found, read_ended_at(self._directory / ENDING)
        last = ended_last(self._ended.values())
        if last is None or last.ended is None or last.ended.code is None:
            return AttemptExit(ENDED_WHEN_ASKED, STOPPED), 0.0
        return last.ended, last.ended_at

    @property
    def _ending(self) -> AttemptExit | None:
        return read_exit(self._directory / ENDING)

    def _end(self, ended: AttemptExit, ended_at: float = 0.0) -> None:
        """Note how it ended, durably; its end is recorded once nothing of it is left in the cluster."""
        if self._ending is not None:  # the cluster refuses even the deletion
            self._record(self._ending)
            return
        (self._directory / ENDING).mkdir(exist_ok=True)
        write_exit(self._directory / ENDING, ended, ended_at)

    def _record(self, ended: AttemptExit, ended_at: float = 0.0) -> None:
        self._site.index.forget(self._directory)
        self._state.end(ended, ended_at)
        self._site.secret.forget(self._directory)

    def _let_go(self) -> None:
        if self._logs is not None:
            self._logs.close()
        if self._tunnels is not None:
            self._tunnels.close()

    @property
    def _object(self) -> str:
        return job_name(self._site.owner, self.name)

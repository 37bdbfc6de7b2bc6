"""An attempt of several containers in one pod: the first one that ends by itself ends the others, and the attempt.

Its files are those of an attempt of one container (see `state`), and

              merge           whose output is in the files stdout and stderr; see `attempt_files.merging`
              ending          how the first container ended that ended by itself; then the pod is deleted, and others end
"""

from __future__ import annotations

import math
import signal
from collections.abc import Callable
from pathlib import Path

from fabric_jobs.executors.attempt_files import merging, specs
from fabric_jobs.executors.attempt_files.exits import read_ended_at, read_exit, write_exit
from fabric_jobs.executors.attempt_files.merging import OURS, Merger
from fabric_jobs.executors.base import AttemptExit
from fabric_jobs.executors.kubernetes import group_pods
from fabric_jobs.executors.kubernetes.attempt import PodAttempt
from fabric_jobs.executors.kubernetes.group_manifest import container_names
from fabric_jobs.executors.kubernetes.group_output import GroupOutput
from fabric_jobs.executors.kubernetes.pods import PROGRAM, Seen
from fabric_jobs.executors.kubernetes.salvage import CUT
from fabric_jobs.executors.kubernetes.site import Site
from fabric_jobs.kubernetes.cluster import Object

ENDING = "ending"
GRACE_SECONDS = 10.0  # for the containers beside the one that has ended
KILLED = 128 + signal.SIGKILL


class GroupAttempt(PodAttempt):
    """An attempt of several containers. Everything happens in the loop's thread."""

    def __init__(self, directory: Path, site: Site, on_news: Callable[[], None]) -> None:
        super().__init__(directory, site, on_news)
        spec = specs.read_spec(directory)
        self._names = container_names(spec)
        self._checked = {
            name for name, process in zip(self._names, spec.processes, strict=True) if process.health is not None
        }
        self._output = GroupOutput(site.cluster, directory, self._names, self._remark)
        self._is_gone = False  # its pod, whose last state is known

    def take(self, pod: Object, is_there: bool) -> None:
        """Take what the cluster says of its pod."""
        super().take(pod, is_there)
        if self._pod is pod:
            self._is_gone = not is_there

    def _check_way(self) -> None:
        if self._ending is None:  # else its pod is being deleted
            super()._check_way()

    def _let_go(self) -> None:
        super()._let_go()
        self._output.close()

    async def _step(self) -> float | None:
        if self._site.turn.is_ours():
            merging.begin(self._directory)
            await self._site.synced()
            pod = self._pod
            if pod is not None:
                self._output.follow(pod)
                if self._ending is not None:
                    return await self._end_all(pod)
        return await super()._step()

    def _seen(self, pod: Object) -> Seen:
        return group_pods.seen(pod, self._names, stopped=self._state.is_stopped)

    async def _finish(self, seen: Seen, ended: AttemptExit) -> float | None:
        pod = self._pod
        assert pod is not None
        await self._output.caught_up(pod)
        end = group_pods.first_end(pod, self._names, stopped=self._state.is_stopped)
        if end is not None and await self._was_unwell(pod, end):
            ended = AttemptExit(KILLED)
            text = f"container '{end.container}' is killed: its liveness probe fails\n"
            Merger(self._directory, OURS).append("stderr", text.encode())
        write_exit(self._directory, ended, seen.ended_at, ENDING)
        return await self._end_all(pod)

    async def _end_all(self, pod: Object) -> float | None:
        """End the containers that still run. Once there is none, record the end of the attempt."""
        if not self._is_gone and not group_pods.is_over(pod, self._names):
            self._grace = min(self._grace, GRACE_SECONDS)
            if self._grace < self._asked:
                await self._ask_to_end()
            return self._until_killed()
        await self._await_output()
        return self._record()

    async def _ask_to_end(self) -> None:
        """Delete the pod; with a shorter grace period once more, since only one of its programs has a launcher."""
        if self._asked < math.inf:
            await self._delete_pod(self._grace)
        await super()._ask_to_end()

    async def _await_output(self) -> None:
        await self._output.drained(insists=self._pod is not None and not self._is_gone and not self._state.is_stopped)
        if self._pod is None or group_pods.has_begun(self._pod, PROGRAM):
            await super()._await_output()

    async def _look_for_pod(self) -> float:
        if self._ending is None:
            return await super()._look_for_pod()
        await self._await_output()
        return self._record()

    async def _salvaged(self, pod: str) -> str:
        return CUT  # what of its output has arrived is among that of the others

    async def _was_unwell(self, pod: Object, end: group_pods.End) -> bool:
        """Return whether the cluster has killed a container because its liveness probe failed, whatever its exit code is."""
        if end.container not in self._checked or end.exit.reason or self._state.is_stopped:
            return False
        found, _ = await self._site.cluster.list("events", fields=f"involvedObject.uid={pod['metadata']['uid']}")
        place = f"{{{end.container}}}"
        its = [event for event in found if event["involvedObject"].get("fieldPath", "").endswith(place)]
        is_killed = any(event.get("reason") == "Killing" for event in its)  # this does not always say why
        return is_killed and any(str(event.get("message")).startswith("Liveness probe failed") for event in its)

    def _end(self, ended: AttemptExit, ended_at: float = 0.0) -> None:
        pod = self._pod
        if self._ending is not None:  # the cluster refuses even the deletion
            self._record()
        elif pod is None or self._is_gone or group_pods.is_over(pod, self._names):
            super()._end(ended, ended_at)
        else:  # its pod goes first
            write_exit(self._directory, ended, ended_at, ENDING)
            self.changed.set()

    def _record(self) -> float:
        ended = self._ending
        assert ended is not None
        super()._end(ended, read_ended_at(self._directory, ENDING))
        return 0.0

    @property
    def _ending(self) -> AttemptExit | None:
        return read_exit(self._directory, ENDING)

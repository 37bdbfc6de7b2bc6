"""Follows what the pods of a daemon print, in one stream: whole lines, in the order in which they arrive."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from fabric_jobs.executors.kubernetes import pods
from fabric_jobs.executors.kubernetes.copies import starts
from fabric_jobs.executors.kubernetes.output import DIRECTORY, ContainerLog, Stdout
from fabric_jobs.executors.kubernetes.pods import PROGRAM
from fabric_jobs.kubernetes.cluster import Cluster

MOST = 50  # pods whose output is followed at a time; each is a connection
DEAD = (
    "Succeeded",
    "Failed",
)  # phases: nothing is started again in the pod, which a node that shuts down leaves behind


class PodLogs:
    """The logs of the pods of an attempt."""

    def __init__(self, cluster: Cluster, directory: Path, remark: Callable[[str], None]) -> None:
        """Raises OSError."""
        self.leaves_out = False  # there were more pods than are followed
        self._cluster = cluster
        self._directory = directory / DIRECTORY
        self._remark = remark
        self._output = Stdout(directory)
        self._logs: dict[str, ContainerLog] = {}  # by pod

    def follow(self, found: Iterable[Mapping[str, Any]]) -> None:
        """Follow the pods whose program has been started; those that are not named are gone."""
        there = {str(pod["metadata"]["uid"]): pod for pod in found if _has_begun(pod)}
        for uid, pod in sorted(there.items(), key=lambda each: _is_dead(each[1])):
            if uid not in self._logs and sum(not log.is_done for log in self._logs.values()) >= MOST:
                self.leaves_out = True
                continue
            if uid not in self._logs:
                source = partial(self._cluster.log_pieces, str(pod["metadata"]["name"]), PROGRAM)
                self._logs[uid] = ContainerLog(source, self._directory / uid, self._output, self._remark)
            self._logs[uid].note(starts(pod), runs=pods.seen(pod).runs)
            if _is_dead(pod):
                self._logs[uid].end()
        for uid, log in self._logs.items():
            if uid not in there:
                log.end()
        self._logs = {uid: log for uid, log in self._logs.items() if uid in there or not log.is_done}

    async def catch_up(self) -> None:
        """Read what programs that have ended have printed, since their pods are about to be deleted."""
        await asyncio.gather(*(log.catch_up() for log in self._logs.values()))

    async def drained(self) -> None:
        """Wait for the rest of the output of pods that are gone. Raises OSError: then ask again."""
        for log in self._logs.values():
            log.end()
        for log in self._logs.values():
            await log.drained(insists=False)

    def close(self) -> None:
        """Follow no more."""
        for log in self._logs.values():
            log.close()


def _has_begun(pod: Mapping[str, Any]) -> bool:
    for each in (pod.get("status") or {}).get("containerStatuses") or ():
        if each["name"] == PROGRAM:
            return bool({"running", "terminated"} & {*(each.get("state") or {}), *(each.get("lastState") or {})})
    return False


def _is_dead(pod: Mapping[str, Any]) -> bool:
    return (pod.get("status") or {}).get("phase") in DEAD

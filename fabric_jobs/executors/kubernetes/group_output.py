"""Follows what the containers beside the first one print, and merges it into the files of their attempt, line by line.

The first one sends its own output (`attempt_files.shipped`). Of the others the cluster tells one stream, which becomes stdout.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from fabric_jobs.executors.attempt_files.merging import Merger
from fabric_jobs.executors.kubernetes import group_pods
from fabric_jobs.executors.kubernetes.output import DIRECTORY, ContainerLog, Note
from fabric_jobs.kubernetes.cluster import Cluster, Object

OPEN_SECONDS = (
    1.0  # until a log is followed that was asked for: the cluster does not say so before something is printed
)
STREAM = "stdout"


class GroupOutput:
    """Copies what the containers of one pod print."""

    def __init__(self, cluster: Cluster, directory: Path, names: Sequence[str], remark: Callable[[str], None]) -> None:
        """`names` are those of all containers, the first one first."""
        self._cluster = cluster
        self._directory = directory
        self._names = names
        self._remark = remark
        self._logs: dict[str, ContainerLog] = {}  # by container
        self._began = 0.0  # the last of them, by the loop's clock

    def follow(self, pod: Object) -> None:
        """Follow the containers that have begun. Idempotent. Raises OSError."""
        for number, name in enumerate(self._names):
            if number and name not in self._logs and group_pods.has_begun(pod, name):
                source = partial(self._cluster.log_pieces, str(pod["metadata"]["name"]), name)
                output = Merged(Merger(self._directory, number))
                self._logs[name] = ContainerLog(source, self._directory / DIRECTORY / name, output, self._remark)
                self._began = asyncio.get_running_loop().time()

    async def caught_up(self, pod: Object) -> None:
        """Wait until the output of the containers that have ended is there, and that of the others is certainly followed."""
        ended = [name for name in self._logs if group_pods.has_ended(pod, name)]
        for name in ended:
            await self._logs[name].drained(insists=True)
        if len(ended) < len(self._logs):
            await asyncio.sleep(max(0.0, self._began + OPEN_SECONDS - asyncio.get_running_loop().time()))

    async def drained(self, *, insists: bool) -> None:
        """Wait for the end of all output: all containers have ended. See `ContainerLog.drained`."""
        for log in self._logs.values():
            log.end()
        for log in self._logs.values():
            await log.drained(insists=insists)

    def close(self) -> None:
        """Follow no more."""
        for log in self._logs.values():
            log.close()


class Merged:
    """The output of one of several containers."""

    def __init__(self, merger: Merger) -> None:
        """Raises OSError."""
        self._merger = merger
        self.size = merger.sizes()[STREAM]

    def append(self, text: bytes, note: Note, *, goes_on: bool) -> None:
        """Append a text, also one that goes on: the end of a line that another container has begun is up to the merger."""
        note(self._merger.sizes()[STREAM])
        self._merger.append(STREAM, text)

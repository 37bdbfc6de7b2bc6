"""Follows what the containers beside the first one print, and merges it into the files of their attempt, line by line.

The first one sends its own output (`attempt_files.shipped`). Of the others the cluster tells one stream, which becomes stdout.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from fabric_jobs.errors import ExecutorUnavailable
from fabric_jobs.executors import attempt_files
from fabric_jobs.executors.attempt_files.merging import Merger
from fabric_jobs.executors.kubernetes import group_pods
from fabric_jobs.executors.kubernetes.output import Follower
from fabric_jobs.executors.kubernetes.salvage import NO_LOG
from fabric_jobs.kubernetes.cluster import Cluster, Object

OPEN_SECONDS = 1.0  # until a log is followed that was asked for
STREAM = "stdout"


class GroupOutput:
    """Copies what the containers of one pod print. A process that takes over skips what is there."""

    def __init__(self, cluster: Cluster, directory: Path, names: Sequence[str]) -> None:
        """`names` are those of all containers, the first one first."""
        self._cluster = cluster
        self._directory = directory
        self._names = names
        self._followers: dict[str, MemberFollower] = {}  # by container

    def follow(self, pod: Object) -> None:
        """Follow the containers that have begun. Idempotent."""
        for number, name in enumerate(self._names):
            if number and name not in self._followers and group_pods.has_begun(pod, name):
                merger = Merger(self._directory, number)
                self._followers[name] = MemberFollower(
                    self._cluster, str(pod["metadata"]["name"]), self._directory, name, merger
                )

    async def caught_up(self, pod: Object) -> None:
        """Wait until the output of the containers that have ended is there, and that of the others is followed."""
        for name, follower in self._followers.items():
            if group_pods.has_ended(pod, name):
                await follower.drained()
            else:
                await follower.begun()

    async def drained(self) -> None:
        """Wait for the end of all output: all containers have ended."""
        for follower in self._followers.values():
            await follower.drained()

    def close(self) -> None:
        """Follow no more."""
        for follower in self._followers.values():
            follower.close()


class MemberFollower(Follower):
    """Follows one of several containers."""

    def __init__(self, cluster: Cluster, pod: str, directory: Path, container: str, merger: Merger) -> None:
        self._directory = directory
        self._merger = merger
        self._began = asyncio.get_running_loop().time()
        self._held = b""
        self._trouble: ExecutorUnavailable | None = None
        super().__init__(cluster, pod, directory, container)

    async def begun(self) -> None:
        """Wait until it is certainly followed. The cluster does not say so before something is printed."""
        await asyncio.sleep(max(0.0, self._began + OPEN_SECONDS - asyncio.get_running_loop().time()))

    async def _copy(self) -> None:
        self._held, self._trouble = b"", None
        with attempt_files.used(self._directory):
            there = self._merger.sizes()[STREAM]
        soon = asyncio.get_running_loop().call_soon
        async for line in self._cluster.log(self._pod, self._container, follow=True):
            if line.startswith(NO_LOG) and not line.endswith(b"\n"):
                break
            skipped = min(there, len(line))
            there -= skipped
            if skipped < len(line) and not self._held:
                soon(self._flush)  # after all lines that have come together
            self._held += line[skipped:]
            self._check()
        self._flush()
        self._check()

    def _check(self) -> None:
        if self._trouble is not None:
            raise self._trouble

    def _flush(self) -> None:
        """Write what has come. After a failure the log is read again, from where the file ends."""
        text, self._held = self._held, b""
        if not text or self._trouble is not None:
            return
        try:
            with attempt_files.used(self._directory):
                self._merger.append(STREAM, text)
        except ExecutorUnavailable as error:
            self._trouble = error

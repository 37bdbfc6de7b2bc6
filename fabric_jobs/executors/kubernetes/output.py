"""Follows the output of a container that has no runtime layer: one stream, from its first byte to its end."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

from fabric_jobs.errors import ExecutorUnavailable, InvalidInput
from fabric_jobs.executors.kubernetes.pods import PROGRAM
from fabric_jobs.kubernetes.cluster import Cluster
from fabric_jobs.kubernetes.failures import Missing

AGAIN_SECONDS = 0.5  # before it is asked for again, when it was cut off
DRAIN_SECONDS = 30.0  # for the rest, once the program has ended


class Follower:
    """Copies what a container prints to the attempt's stdout. A process that takes over skips what is there."""

    def __init__(self, cluster: Cluster, pod: str, directory: Path, container: str = PROGRAM) -> None:
        self._cluster = cluster
        self._pod = pod
        self._container = container
        self._path = directory / "stdout"
        self._is_over = False  # its program has ended, so the end of the log is its end
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def drained(self) -> None:
        """Wait for the end of the log of a program that has ended."""
        self._is_over = True
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._task), DRAIN_SECONDS)

    def close(self) -> None:
        """Follow no more."""
        self._task.cancel()

    async def _run(self) -> None:
        while True:
            was_over = self._is_over
            try:
                await self._copy()
                if was_over or self._is_over:
                    return
            except (Missing, InvalidInput):
                return
            except ExecutorUnavailable:
                pass
            await asyncio.sleep(AGAIN_SECONDS)

    async def _copy(self) -> None:
        there = self._path.stat().st_size
        with open(self._path, "ab", buffering=0) as file:
            async for line in self._cluster.log(self._pod, self._container, follow=True):
                skipped = min(there, len(line))
                there -= skipped
                if skipped < len(line):
                    file.write(line[skipped:])

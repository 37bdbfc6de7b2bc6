"""What all attempts in a cluster have in common."""

from __future__ import annotations

import asyncio
import fcntl
import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from fabric_jobs.executors.attempt_files.index import LogIndex
from fabric_jobs.executors.attempt_files.specs import Secret
from fabric_jobs.executors.kubernetes.extras import Extras
from fabric_jobs.executors.kubernetes.route import Route
from fabric_jobs.executors.kubernetes.salvage import MOST_AT_A_TIME
from fabric_jobs.executors.kubernetes.tunnels import Nearness
from fabric_jobs.kubernetes.cluster import Cluster
from fabric_jobs.kubernetes.informer import Informer

LOCK = "kubernetes.lock"


class Turn:
    """Only one process at a time carries on the attempts of a directory. Others read what it has recorded."""

    def __init__(self, root: Path) -> None:
        self._path = root / LOCK
        self._file: int | None = None

    def is_ours(self) -> bool:
        """Return whether it is this process's turn, from now on until it closes or ends. Raises OSError."""
        if self._file is None:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            with suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._file = file
                return True
            os.close(file)
        return self._file is not None

    def close(self) -> None:
        """Let another process have its turn."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


@dataclass(frozen=True, kw_only=True)
class Site:
    """The place of attempts."""

    root: Path
    owner: str
    cluster: Cluster
    route: Route
    extras: Extras
    pods: Informer
    index: LogIndex
    secret: Secret
    turn: Turn
    salvages: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MOST_AT_A_TIME))
    nearness: Nearness = field(default_factory=Nearness)

    async def synced(self) -> None:
        """Wait until the pods that there are have been seen. Raise ExecutorUnavailable while nothing is heard of them."""
        if self.pods.trouble is not None:
            raise self.pods.trouble
        await self.pods.is_synced.wait()

"""Writes the output of one of several containers to the files of their attempt."""

from __future__ import annotations

from pathlib import Path

from fabric_jobs.executors.attempt_files.index import LogIndex
from fabric_jobs.executors.attempt_files.merging import Merger


class MergedFiles(Merger):
    """The output of one container of an attempt, among that of the others. See `copying.ContainerOutput`."""

    def __init__(self, attempt: Path, member: int, index: LogIndex) -> None:
        super().__init__(attempt, member)
        self._index = index

    def follow(self) -> None:
        """Let the index watch the files of the attempt. It goes on after `close`: other containers may still print."""
        self._index.follow(self._attempt)

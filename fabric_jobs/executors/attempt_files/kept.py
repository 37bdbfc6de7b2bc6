"""Reads logs of attempts from directories of this machine; shared by all executors that keep them there."""

from __future__ import annotations

from pathlib import Path

from fabric_jobs.errors import ExecutorUnavailable
from fabric_jobs.executors.attempt_files import pages, used
from fabric_jobs.executors.base import STREAMS, LogPage, LogQuery


class Kept:
    """The log methods of an executor. `fabric_jobs.executors.base.Executor` has their contracts."""

    _root: Path

    def logs(self, handle: str, stream: str, offset: int, limit: int) -> bytes:
        """Read from the file of that stream."""
        assert stream in STREAMS
        with used(self._directory(handle)):
            return pages.part(self._directory(handle) / stream, offset, limit)

    def size(self, handle: str, stream: str) -> int:
        """Look at the file of that stream."""
        assert stream in STREAMS
        with used(self._directory(handle)):
            return pages.size(self._directory(handle) / stream)

    def merged(self, handle: str, limit: int) -> bytes:
        """Merge both files by the index of sizes over time."""
        with used(self._directory(handle)):
            return pages.merged(self._directory(handle), limit)

    def page(self, handle: str, query: LogQuery) -> LogPage:
        """Read a page of both files, by the same index."""
        try:
            return pages.page(self._directory(handle), query)
        except OSError as error:
            raise ExecutorUnavailable(f"the log in {handle} cannot be read: {error}") from error

    def _directory(self, handle: str) -> Path:
        """Return where an attempt's directory is now: the state directory may have been moved or copied."""
        return self._root / Path(handle).name

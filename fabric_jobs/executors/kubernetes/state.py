"""The files of one attempt in a cluster.

<root>/<name>/spec.json       the spec; with it the attempt is accepted
              made            its Job was created; if the cluster has neither Job nor pod now, the attempt is lost
              plain           its program is started by its image, which has no Python, or which alone knows the program line
              stopped         somebody asked it to stop
              whole           its pod has sent all of its output
              followed/       how far the logs of its containers were read, where no launcher sends the output; see `output`
              note, remarks   why the program does not run yet, and what people should know
              stdout, stderr, index, files/
              exit            how it ended; then its Job is deleted
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path

from fabric_jobs import whole_file
from fabric_jobs.executors import attempt_files
from fabric_jobs.executors.attempt_files.exits import read_exit, write_exit
from fabric_jobs.executors.attempt_files.merging import is_merged
from fabric_jobs.executors.attempt_files.shipped import STOP, WHOLE
from fabric_jobs.executors.attempt_files.texts import say, text
from fabric_jobs.executors.base import LOST, NOT_STARTED, REFUSED, STOPPED, STREAMS, AttemptExit

MADE, PLAIN, REMARKS = "made", "plain", "remarks"
NO_PYTHON = "its image has no python3, so stdout and stderr are one stream"
NO_LINE = "only its image knows its program line, so stdout and stderr are one stream"


@dataclass(frozen=True)
class AttemptState:
    """What is on the disk about an attempt. What these methods write is durable."""

    directory: Path

    @property
    def is_made(self) -> bool:
        """Whether its Job was created."""
        return (self.directory / MADE).exists()

    def made_ago(self) -> float:
        """Return how many seconds ago its Job was created; infinity before that."""
        try:
            return time.time() - (self.directory / MADE).stat().st_mtime
        except OSError:
            return math.inf

    @property
    def is_plain(self) -> bool:
        """Whether its image starts its program, without the runtime layer."""
        return (self.directory / PLAIN).exists()

    @property
    def is_stopped(self) -> bool:
        """Whether somebody asked it to stop."""
        return (self.directory / STOP).exists()

    @property
    def is_whole(self) -> bool:
        """Whether its pod has sent all of its output."""
        return (self.directory / WHOLE).exists()

    def sent(self) -> int:
        """Return how much output its launcher has sent: its bytes, and one for its end; 0 for output that comes in another way."""
        if self.is_plain or is_merged(self.directory):
            return 0
        sizes = (path.stat().st_size for stream in STREAMS if (path := self.directory / stream).exists())
        return sum(sizes) + self.is_whole

    @property
    def has_ended(self) -> bool:
        """Whether its end is recorded."""
        try:
            return read_exit(self.directory) is not None
        except OSError:  # out of descriptors: not known yet
            return False

    def note_made(self) -> None:
        """Note that its Job was created."""
        attempt_files.mark(self.directory / MADE)

    def begin_plainly(self, why: str) -> None:
        """Note that it starts, or starts again, by its image."""
        attempt_files.mark(self.directory / PLAIN)
        self.remark(why)
        (self.directory / MADE).unlink(missing_ok=True)

    def say(self, doing: str) -> None:
        """Note why its program does not run yet; empty once it runs."""
        say(self.directory, doing)

    def remark(self, words: str) -> None:
        """Add a remark for people."""
        before = text(self.directory / REMARKS)
        if words not in before:
            whole_file.write(self.directory / REMARKS, f"{before}{words}\n", durable=True)

    def end(self, ended: AttemptExit, at: float) -> None:
        """Record how it ended, at a time in seconds since 1970, or now if that is 0. Its output is complete."""
        if ended.cause and ended.reason == NOT_STARTED:
            with open(self.directory / "stderr", "ab") as file:
                file.write(f"{ended.cause.rstrip('.')}.\n".encode())
        if ended.cause and ended.reason == LOST:
            self.remark(ended.cause)
            ended = AttemptExit(None, LOST)
        reason = STOPPED if self.is_stopped and ended.reason not in (LOST, REFUSED) else ended.reason
        whole_file.sync(*(path for stream in STREAMS if (path := self.directory / stream).exists()))
        write_exit(self.directory, AttemptExit(ended.code, reason, ended.cause), at or time.time())
        self.say("")

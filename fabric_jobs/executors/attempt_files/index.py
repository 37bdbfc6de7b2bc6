"""Records when output was seen: the sizes of stdout and stderr over time, to merge them and to show times."""

from __future__ import annotations

import os
import select
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fabric_jobs.executors.attempt_files.watch import Watch

INTERVAL = 0.05  # polling interval of those that print; nothing waits for it
QUIET_SECONDS = 1.0  # after this time without output, wait for output instead of polling
SLOW_SECONDS = 1.0  # polling interval of quiet ones, where the system has no inotify


@dataclass
class _Log:
    """The latest sizes of an attempt's logs."""

    sizes: tuple[int, int] = (0, 0)
    since: float = 0.0  # by the monotonic clock


class LogIndex:
    """A thread that polls the log sizes of running attempts and records the changes.

    A line of the file `index` is `<seconds since 1970> <size of stdout> <size of stderr>`. Attempts that print are polled;
    quiet ones cost nothing until they print.
    """

    def __init__(self) -> None:
        self._busy: dict[Path, _Log] = {}
        self._quiet: dict[Path, _Log] = {}  # inotify reports their output
        self._slow: dict[Path, _Log] = {}  # quiet too, but without inotify
        self._looked_slowly = 0.0
        self._lock = threading.Lock()
        self._closing = False
        self._pipe: tuple[int, int] | None = None  # wakes the thread
        self._watch: Watch | None = None
        self._has_watch = True  # until adding one fails

    def follow(self, directory: Path) -> None:
        """Watch the logs in `directory` from now on."""
        with self._lock:
            self._pop(directory)
            self._busy[directory] = _Log(since=time.monotonic())
            if self._closing:
                return
            if self._pipe is None:
                pipe = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC) if hasattr(os, "pipe2") else os.pipe()
                try:
                    threading.Thread(target=self._run, args=(pipe[0],), name="log-index", daemon=True).start()
                except RuntimeError:  # too many threads: times are lost, logs are not
                    for descriptor in pipe:
                        os.close(descriptor)
                    return
                self._pipe = pipe
            elif len(self._busy) == 1:
                os.write(self._pipe[1], b"f")

    def forget(self, directory: Path) -> None:
        """Record the final sizes of an ended attempt, unless no output had been seen before."""
        with self._lock:
            known = self._pop(directory)
        if known is not None and known.sizes != (0, 0):
            self._look(directory, known)

    def close(self) -> None:
        """End the thread."""
        with self._lock:
            self._closing = True
            if self._pipe is not None:
                os.write(self._pipe[1], b"c")

    def _pop(self, directory: Path) -> _Log | None:
        if self._watch is not None:
            self._watch.remove(directory)
        found = [logs.pop(directory, None) for logs in (self._busy, self._quiet, self._slow)]
        return next((log for log in found if log is not None), None)

    def _run(self, woken: int) -> None:
        while not self._closing:
            self._pause(woken)
            self.look(time.monotonic())
        with self._lock:
            for descriptor in self._pipe or ():
                os.close(descriptor)
            if self._watch is not None:
                self._watch.close()
            self._pipe = self._watch = None

    def _pause(self, woken: int) -> None:
        """Wait for one interval or, while all attempts are quiet, for new output."""
        with self._lock:
            seconds = INTERVAL if self._busy else SLOW_SECONDS if self._slow else None
            watched = [woken, self._watch.descriptor] if self._watch is not None and not self._busy else [woken]
        poll = select.poll()
        for descriptor in watched:
            poll.register(descriptor, select.POLLIN)
        found = poll.poll(None if seconds is None else 1000 * seconds)
        if any(descriptor == woken for descriptor, _ in found):
            os.read(woken, 4096)

    def look(self, now: float) -> None:
        """Check the attempts that print, and the quiet ones that may have printed."""
        with self._lock:
            for directory in self._watch.written() if self._watch is not None else ():
                if directory in self._quiet:
                    self._busy[directory] = self._quiet.pop(directory)
                    self._watch_no_more(directory)
            due = list(self._busy.items())
            if now - self._looked_slowly >= SLOW_SECONDS:
                self._looked_slowly = now
                due += self._slow.items()
        for directory, log in due:
            if self._look(directory, log):
                log.since = now
                with self._lock:
                    if self._slow.pop(directory, None) is not None:
                        self._busy[directory] = log
            elif now - log.since >= QUIET_SECONDS:
                self._rest(directory, log)

    def _rest(self, directory: Path, log: _Log) -> None:
        """Stop polling a quiet attempt, or poll it rarely."""
        with self._lock:
            if self._busy.pop(directory, None) is None:
                return
            if self._has_watch and self._watch is None:
                try:
                    self._watch = Watch()
                except OSError:
                    self._has_watch = False
            can_wait = self._watch is not None and self._watch.add(directory)
            (self._quiet if can_wait else self._slow)[directory] = log
        if can_wait and self._look(directory, log):  # output came before the watch was set
            with self._lock:
                if self._quiet.pop(directory, None) is not None:
                    self._watch_no_more(directory)
                    log.since = time.monotonic()
                    self._busy[directory] = log

    def _watch_no_more(self, directory: Path) -> None:
        if self._watch is not None:
            self._watch.remove(directory)

    def _look(self, directory: Path, log: _Log) -> bool:
        """Record new sizes; return whether there were any."""
        sizes = (_size(directory / "stdout"), _size(directory / "stderr"))
        if sizes == log.sizes:
            return False
        with suppress(OSError):  # a full disk loses times, not logs
            with open(directory / "index", "a") as file:
                file.write(f"{time.time():.3f} {sizes[0]} {sizes[1]}\n")
            log.sizes = sizes
        return True


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0

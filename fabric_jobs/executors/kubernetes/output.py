"""Follows what a container prints through the API, and appends it to the output of an attempt.

A file `followed/<container or pod>` says, before lines are appended, which lines these are and where they begin. So the next
process goes on behind the last byte that is there, wherever this one was killed, and also when the cluster has rotated the log
meanwhile.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path
from typing import NamedTuple, Protocol

from fabric_jobs import whole_file
from fabric_jobs.errors import ExecutorUnavailable, InvalidInput
from fabric_jobs.executors.kubernetes.log_reader import BEGIN, LogPosition, LogReader
from fabric_jobs.kubernetes.failures import Missing, RightMissing

DIRECTORY = "followed"
UNREAD = "part of its output may be missing: not all of it could be read from the cluster"
AGAIN_SECONDS = 0.5  # before a log is asked for again, when it was cut off; then twice as long, and so on
SELDOM_SECONDS = 8.0
DRAIN_SECONDS = 20.0  # without progress, once the program has ended: then on a new connection
LAST_SECONDS = 10.0  # without progress on that
LOOK_SECONDS = 0.2  # between two looks at the progress

Note = Callable[[int], None]
Source = Callable[..., AbstractAsyncContextManager[AsyncIterator[bytes]]]  # `log_pieces` of a container


class Destination(Protocol):
    """Where the output of a container goes."""

    size: int  # bytes that were there before this process wrote any

    def append(self, text: bytes, note: Note, *, goes_on: bool) -> None:
        """Append all of a text, or nothing of it, once `note` has taken at which byte it begins. Raises OSError.

        When it `goes_on`, it is no new line.
        """


class Stdout:
    """The file of an attempt, for one container or for several whose lines have the order in which they arrive."""

    def __init__(self, directory: Path) -> None:
        """Raises OSError."""
        self._path = directory / "stdout"
        self._turn = threading.Lock()
        self.size = self._path.stat().st_size

    def append(self, text: bytes, note: Note, *, goes_on: bool) -> None:
        """Append a text, and before it the end of a line that another container has begun."""
        with self._turn, open(self._path, "ab+", buffering=0) as file:
            size = file.seek(0, 2)
            if size and not goes_on:
                file.seek(-1, 2)
                if file.read(1) != b"\n":
                    size += file.write(b"\n")
            note(size)
            whole_file.append(file, text)


class _Place(NamedTuple):
    """How far a log has been copied."""

    before: LogPosition = BEGIN  # up to here it is there for certain
    last: LogPosition = BEGIN  # up to here it was being appended then
    start: int = 0  # where that begins, in the output
    size: int = 0  # bytes of it


class ContainerLog:
    """The log of a container, and, where the cluster starts its program again, of the next starts.

    All but the appending happens in the loop's thread. An end that may be missing is remarked, and so is a gap.
    """

    def __init__(self, source: Source, place: Path, output: Destination, remark: Callable[[str], None]) -> None:
        """Go on where an earlier process stopped."""
        self.is_done = False  # its end is there, or is given up
        self._source = source
        self._file = place
        self._output = output
        self._remark = remark
        self._is_over = False  # its program will print no more
        self._is_whole = False  # all of what its program has printed up to an end is there
        self._starts = self._read_starts = 0
        self._runs = True
        self._trouble: ExecutorUnavailable | OSError | None = None
        self._moved = 0.0  # the last progress, or when the end was told, by the loop's clock
        self._changed = asyncio.Event()
        there = _read(place)
        written = min(max(0, output.size - there.start), there.size)
        is_whole = written == there.size
        self._last = there.last if is_whole else there.before
        self._skipped = 0 if is_whole else written  # bytes behind that which are there, too
        self._begin()

    def note(self, starts: int, *, runs: bool) -> None:
        """Note how often its program was started again, and whether it runs."""
        if (starts, runs) == (self._starts, self._runs):
            return
        self._is_whole = self._is_whole and starts == self._starts
        self._starts, self._runs = starts, runs
        self._changed.set()

    def end(self) -> None:
        """Note that its program will print no more."""
        if not self._is_over:
            self._is_over = True
            self._moved = asyncio.get_running_loop().time()
            self._changed.set()

    async def drained(self, *, insists: bool) -> None:
        """Wait until the output of a program that has ended is there. Raises OSError: then ask again.

        Raises RightMissing when it `insists` on a log that will still be there once the right is granted.
        """
        self.end()
        for patience in (DRAIN_SECONDS, LAST_SECONDS):
            if await self._ends(patience, insists):
                return
            await self._pause()  # its connection may hang
            self._begin()
            self._moved = asyncio.get_running_loop().time()
        self._remark(UNREAD)
        self.close()

    async def catch_up(self) -> None:
        """Read what a program that has ended has printed, since its pod is about to be deleted."""
        if self.is_done or self._is_whole or self._runs:
            return
        await self._pause()
        with suppress(ExecutorUnavailable, OSError):
            async with asyncio.timeout(LAST_SECONDS):
                await self._read(follow=False)
        self._begin()

    def close(self) -> None:
        """Follow no more."""
        self.is_done = True
        self._task.cancel()

    def _begin(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def _pause(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _ends(self, patience: float, insists: bool) -> bool:
        """Wait for the end; return False when there has been no progress for a time."""
        clock = asyncio.get_running_loop().time
        while not self.is_done and not self._task.done() and clock() < self._moved + patience:
            await asyncio.wait([self._task], timeout=LOOK_SECONDS)
            if isinstance(self._trouble, RightMissing) and not insists:
                return False
            if isinstance(self._trouble, OSError | RightMissing):
                raise self._trouble
        return self.is_done

    async def _run(self) -> None:
        pause = AGAIN_SECONDS
        while not self.is_done:
            self._changed.clear()
            is_last, before = self._is_over, self._last
            try:
                await self._read(follow=not is_last)
                if is_last and not self._is_whole:
                    self._remark(UNREAD)
                self._trouble, self.is_done = None, is_last
            except (ExecutorUnavailable, OSError) as error:  # such as a full disk
                self._trouble = error
            if not self.is_done:
                pause = AGAIN_SECONDS if self._last != before else min(2 * pause, SELDOM_SECONDS)
                await self._wait(pause)

    async def _wait(self, seconds: float) -> None:
        """Wait for a change, and for no longer than some seconds unless only a new start of its program can print more."""
        is_idle = self._is_whole and not self._runs
        with suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), None if is_idle else seconds)

    async def _read(self, *, follow: bool) -> None:
        """Copy what is not there yet, and what is printed until the program ends. `follow` is False when it has ended."""
        starts = self._starts
        with suppress(Missing, InvalidInput):  # the pod is gone; or its program is not started again yet
            if self._read_starts < starts:
                with suppress(Missing, InvalidInput):
                    await self._copy(follow=False, previous="true")
                self._read_starts = starts
            if await self._copy(follow=follow) and starts == self._starts:
                self._is_whole = True

    async def _copy(self, *, follow: bool, **options: str) -> bool:
        """Copy what is not there yet; return whether the cluster has given it up to the end."""
        reader = LogReader(self._last, self._skipped)
        since = {"sinceTime": self._last.time} if self._last.time else {}
        async with self._source(follow=follow, timestamps="true", **since, **options) as pieces:
            async for piece in pieces:
                await self._take(reader, reader.read(piece))
        await self._take(reader, reader.end())
        return not reader.has_words

    async def _take(self, reader: LogReader, text: bytes) -> None:
        if not text:
            return
        if reader.has_gap and not self._starts:  # the log of the next start has no line of the last one
            self._remark(UNREAD)
        reader.has_gap = self._is_whole = False
        await _to_its_end(lambda: self._append(reader, text))
        self._trouble, self._moved = None, asyncio.get_running_loop().time()

    def _append(self, reader: LogReader, text: bytes) -> None:
        def note(start: int) -> None:
            self._file.parent.mkdir(exist_ok=True)
            whole_file.write(self._file, json.dumps(_Place(reader.before, reader.at, start, len(text))))

        self._output.append(text, note, goes_on=reader.goes_on)
        self._last, self._skipped = reader.at, 0


async def _to_its_end(step: Callable[[], None]) -> None:
    """Let another thread do something to its end, also when this is cancelled."""
    work = asyncio.get_running_loop().run_in_executor(None, step)
    try:
        await asyncio.shield(work)
    finally:
        while not work.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([work])


def _read(path: Path) -> _Place:
    try:
        before, last, start, size = json.loads(path.read_text())
        return _Place(LogPosition(*before), LogPosition(*last), int(start), int(size))
    except (OSError, ValueError, TypeError):
        return _Place()

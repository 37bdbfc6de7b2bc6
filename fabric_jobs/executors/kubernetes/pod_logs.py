"""Follows what the pods of a daemon print, in one stream: whole lines, in the order in which they arrive.

A file `followed/<pod>` says, before lines are written to stdout, which lines these are and where they begin. So the next process
goes on behind the last line that is there, wherever this one was killed, and also when the cluster has rotated the log meanwhile.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from fabric_jobs import whole_file
from fabric_jobs.errors import ExecutorUnavailable, InvalidInput
from fabric_jobs.executors.kubernetes.copies import starts
from fabric_jobs.executors.kubernetes.pods import PROGRAM
from fabric_jobs.kubernetes.cluster import Cluster
from fabric_jobs.kubernetes.failures import Missing

DIRECTORY = "followed"
AGAIN_SECONDS = 0.5  # before a log is asked for again, when it was cut off or its program was started again
DRAIN_SECONDS = 10.0  # for the rest, once the pods are gone
MOST = 50  # pods whose output is followed at a time; each is a connection

Line = tuple[str, int]  # the time that the cluster gives a line, and its number among those of that time
TIME = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)(Z|[+-]\d\d:\d\d) ")
BEGIN: Line = ("", 0)


class _Place(NamedTuple):
    """How far the log of a pod has been copied."""

    before: Line = BEGIN  # the last line that is there for certain
    last: Line = BEGIN  # the last one of those that were written then
    start: int = 0  # where these begin, in the attempt's stdout
    size: int = 0  # bytes of these


class PodLogs:
    """The logs of the pods of an attempt. Everything happens in the loop's thread."""

    def __init__(self, cluster: Cluster, directory: Path) -> None:
        """Go on where an earlier process stopped. Raises OSError."""
        self._cluster = cluster
        self._directory = directory
        self._known = {path.name: _read(path) for path in (directory / DIRECTORY).glob("[!.]*")}
        self._size = (directory / "stdout").stat().st_size  # before this process writes
        self._logs: dict[str, _PodLog] = {}  # by pod

    @property
    def is_full(self) -> bool:
        """Whether there are more pods than are followed."""
        return len(self._logs) >= MOST

    def follow(self, found: Iterable[Mapping[str, Any]]) -> None:
        """Follow the pods whose program has been started; those that are not named are gone."""
        there = {str(pod["metadata"]["uid"]): pod for pod in found if _has_begun(pod)}
        for uid, pod in there.items():
            if uid not in self._logs and not self.is_full:
                self._logs[uid] = _PodLog(self._cluster, self._directory, uid, str(pod["metadata"]["name"]))
                self._logs[uid].resume(self._known.pop(uid, _Place()), self._size)
            if uid in self._logs:
                self._logs[uid].note(starts(pod))
        for uid, log in self._logs.items():
            if uid not in there:
                log.is_over = True
        self._logs = {uid: log for uid, log in self._logs.items() if uid in there or not log.is_done}

    async def catch_up(self) -> None:
        """Read what programs that have ended have printed, since their pods are about to be deleted."""
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                for log in list(self._logs.values()):
                    await log.catch_up()

    async def drained(self) -> None:
        """Wait for the rest of the output of pods that are gone, and follow no more."""
        for log in self._logs.values():
            log.is_over = True
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                for log in self._logs.values():
                    await log.done()
        self.close()

    def close(self) -> None:
        """Follow no more."""
        for log in self._logs.values():
            log.close()


class _PodLog:
    """The log of one pod: that of its program, and after an end of it that of the next start."""

    def __init__(self, cluster: Cluster, directory: Path, uid: str, name: str) -> None:
        self.is_over = False  # its pod is gone, so the end of the log is its end
        self._cluster = cluster
        self._name = name
        self._file = directory / DIRECTORY / uid
        self._path = directory / "stdout"
        self._place = _Place()
        self._skipped = 0  # bytes of the next lines that are there already
        self._held: list[bytes] = []  # lines that have arrived together
        self._last = BEGIN  # the last one of these
        self._starts = self._read_starts = 0
        self._task: asyncio.Task[None] | None = None
        self._error: OSError | None = None  # of the last lines

    def resume(self, place: _Place, size: int) -> None:
        """Follow from a place on; stdout had `size` bytes when this process began."""
        self._go_back(place, size)
        self._task = asyncio.get_running_loop().create_task(self._run())

    def note(self, starts: int) -> None:
        """Note how often its program was started again."""
        self._starts = starts

    @property
    def is_done(self) -> bool:
        """Whether all of it is there."""
        return self._task is None or self._task.done()

    async def done(self) -> None:
        """Wait until all of it is there."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def catch_up(self) -> None:
        """Read what there is, up to the last end of its program."""
        for previous in (True, False) if self._starts else (False,):
            with suppress(ExecutorUnavailable, Missing, InvalidInput, OSError):
                await self._copy(follow=False, previous=previous)

    def close(self) -> None:
        """Follow no more."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        while True:
            was_over = self.is_over
            try:
                if self._read_starts < self._starts:
                    self._read_starts = self._starts
                    await self._copy(follow=False, previous=True)
                await self._copy(follow=True)
            except (Missing, InvalidInput):  # the pod is gone; or its program is not started again yet
                was_over = self.is_over
            except (ExecutorUnavailable, OSError):  # such as a full disk
                was_over = False
            if was_over:
                return
            await asyncio.sleep(AGAIN_SECONDS)

    async def _copy(self, *, follow: bool, previous: bool = False) -> None:
        """Copy the lines that are not there yet. Two of these may run at a time: each line is taken once."""
        loop, here = asyncio.get_running_loop(), BEGIN
        options = {"timestamps": "true", **({"previous": "true"} if previous else {})}
        if self._last != BEGIN:
            options["sinceTime"] = self._last[0]
        self._error = None
        async for line in self._cluster.log(self._name, PROGRAM, follow=follow, **options):
            if self._error is not None:
                raise self._error
            at, text = _split(line)
            if not at:
                continue  # words of the cluster, such as that the log is gone
            here = (at, here[1] + 1 if at == here[0] else 1)
            if here > self._last:
                if not self._held:
                    loop.call_soon(self._write)  # with the lines that have arrived together
                self._held.append(text)
                self._last = here
        self._write()

    def _go_back(self, place: _Place, size: int) -> None:
        """Go on behind what is there, while stdout has `size` bytes and others have not written since."""
        written = min(max(0, size - place.start), place.size)
        is_whole = written == place.size
        self._last = place.last if is_whole else place.before
        self._skipped = 0 if is_whole else written
        self._place = _Place(self._last, self._last)

    def _write(self) -> None:
        """Write the lines that are held. After an error they are read again."""
        if not self._held:
            return
        text, self._held = b"".join(self._held), []
        try:
            self._append(text)
        except OSError as error:
            self._error = error
            self._go_back(self._place, self._path.stat().st_size)

    def _append(self, text: bytes) -> None:
        skipped, self._skipped = min(self._skipped, len(text)), max(0, self._skipped - len(text))
        text = text[skipped:]
        with open(self._path, "ab+", buffering=0) as file:
            size = file.seek(0, 2)
            if size and _last_byte(file) != b"\n" and not skipped:
                size += file.write(b"\n")  # another pod has printed part of a line
            place = _Place(self._place.last, self._last, size, len(text))
            self._file.parent.mkdir(exist_ok=True)
            whole_file.write(self._file, json.dumps(place))
            self._place = place
            rest = memoryview(text)
            while rest:
                rest = rest[file.write(rest) :]


def _has_begun(pod: Mapping[str, Any]) -> bool:
    for each in (pod.get("status") or {}).get("containerStatuses") or ():
        if each["name"] == PROGRAM:
            return bool({"running", "terminated"} & {*(each.get("state") or {}), *(each.get("lastState") or {})})
    return False


def _split(line: bytes) -> tuple[str, bytes]:
    """Return the time of a line, in UTC, so that times can be compared as texts, and the line; no time if it has none."""
    found = TIME.match(line)
    if found is None:
        return "", line
    time, fraction, zone = (each.decode() for each in found.groups())
    if zone != "Z":
        time = datetime.fromisoformat(f"{time}{zone}").astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{time}{fraction}Z", line[found.end() :]


def _last_byte(file: Any) -> bytes:
    file.seek(-1, 2)
    found: bytes = file.read(1)
    return found


def _read(path: Path) -> _Place:
    try:
        before, last, start, size = json.loads(path.read_text())
        return _Place((before[0], before[1]), (last[0], last[1]), start, size)
    except (OSError, ValueError, TypeError, IndexError):
        return _Place()

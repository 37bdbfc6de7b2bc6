"""Finds the end of an output in the container's own log, when the launcher has not sent all: it was killed, or gave up.

That log has both streams as one, by lines. What of it has arrived tells where the rest begins.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

from fabric_jobs.errors import FabricJobsError
from fabric_jobs.executors.attempt_files import shipped
from fabric_jobs.executors.attempt_files.merging import is_merged
from fabric_jobs.executors.base import STREAMS
from fabric_jobs.executors.kubernetes.pods import PROGRAM
from fabric_jobs.executors.kubernetes.state import AttemptState
from fabric_jobs.kubernetes.cluster import Cluster
from fabric_jobs.kubernetes.failures import Missing

FOUND = "not all of its output was sent to the gateway: the rest is from the container's log"
CUT = "part of its output may be missing: not all of it was sent to the gateway"
LAUNCHER = b"fabric_pod: "  # how the launcher's own lines begin
NO_LOG = b"unable to retrieve container logs for "  # what a kubelet answers in place of a log that is gone
SECONDS = 30.0
SENT_SECONDS = 1.0  # for what a pod has sent last to be noted
MOST_AT_A_TIME = 2  # logs that are read
MOST_BYTES = 16 << 20  # of a log; clusters begin a new file at 10 MiB, and show the newest
READ_BYTES = 16 << 20  # of what has arrived of each stream, counted from its end
PROBE_BYTES = 4096  # that are compared before all are
MOST_WAYS = 64  # to read lines that both streams have
MOST_STEPS = 1 << 21  # a few seconds

Way = tuple[int, int]  # how much of what has arrived of stdout and stderr is read
Rest = tuple["Rest", int, bytes] | None  # what comes after it: a list, the last part first


async def arrived(state: AttemptState) -> bool:
    """Wait for what a pod has sent last, which may not be noted yet when its end is seen; return whether all has arrived."""
    until = asyncio.get_running_loop().time() + SENT_SECONDS
    while not state.is_whole:
        if asyncio.get_running_loop().time() > until:
            return False
        await asyncio.sleep(0.05)
    return True


async def salvage(cluster: Cluster, pod: str, directory: Path, turns: asyncio.Semaphore) -> str:
    """Append what has not arrived of the output of an attempt, as far as its pod's log has it; return a remark about that.

    Each may need some 100 MB of memory, so they take `turns`. Among the output of several containers, that of the first one is
    not found again.
    """
    if is_merged(directory):
        return CUT
    async with turns:
        try:
            async with asyncio.timeout(SECONDS):
                log = await _read(cluster, pod)
            return FOUND if await asyncio.to_thread(_append, directory, log) else CUT
        except (FabricJobsError, Missing, TimeoutError, OSError):
            return CUT


async def _read(cluster: Cluster, pod: str) -> bytes:
    """Return the log; nothing if there is none, or too much."""
    found = bytearray()
    async with cluster.log_pieces(pod, PROGRAM, follow=False) as pieces:
        async for piece in pieces:
            found += piece
            if len(found) > MOST_BYTES:
                return b""
    return b"" if found.startswith(NO_LOG) and b"\n" not in found[:-1] else bytes(found)


def _append(directory: Path, log: bytes) -> bool:
    """Append what has not arrived; return whether that is certainly all that there was."""
    sizes = [(directory / stream).stat().st_size for stream in STREAMS]
    arrived = [_tail(directory / stream) for stream in STREAMS]
    rest = rest_of(log, arrived[0], arrived[1])
    if rest is None:
        return False
    for stream, size, text in zip(STREAMS, sizes, rest, strict=True):
        shipped.take(directory, stream, size, text)
    return any(arrived) or _is_launchers(log)


def _is_launchers(log: bytes) -> bool:
    """Return whether only the launcher has printed. Without anything that has arrived, a log may lack its beginning."""
    return all(line.startswith(LAUNCHER) for line in _lines(log))


def _tail(path: Path) -> bytes:
    with open(path, "rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - READ_BYTES))
        return file.read()


def rest_of(log: bytes, stdout: bytes, stderr: bytes) -> tuple[bytes, bytes] | None:
    """Return what a log has of both streams beyond what has arrived; None if the log does not fit to that.

    A line that may be of either is counted as stdout's, unless only stderr has printed so far.
    """
    if not log:
        return None
    found = _from(log, stdout, stderr, (0, 0))
    if found is None and not (stdout and stderr):  # its beginning may be gone
        at = _overlap(stdout or stderr, log)
        if at >= 0:
            found = _from(log, stdout, stderr, (at, 0) if stdout else (0, at))
    return found


def _overlap(arrived: bytes, log: bytes) -> int:
    """Return from where on what has arrived is the beginning of a log, as early as possible; -1: nowhere."""
    line = log[: log.find(b"\n") + 1] or log
    at = max(0, len(arrived) - len(log)) - 1
    for _ in range(MOST_WAYS):
        at = arrived.find(line, at + 1)
        if at < 0 or (log.startswith(arrived[at : at + PROBE_BYTES]) and log.startswith(arrived[at:])):
            return at
    return -1


def _from(log: bytes, stdout: bytes, stderr: bytes, start: Way) -> tuple[bytes, bytes] | None:
    """Read a log line by line, on all ways in which its lines can be those that have arrived."""
    arrived = (stdout, stderr)
    unknown = 1 if stderr and not stdout else 0
    ways: dict[Way, Rest] = {start: None}
    steps = 0
    for line in _lines(log):
        steps += len(ways)
        if steps > MOST_STEPS:
            return None
        further: dict[Way, Rest] = {}
        for way, rest in ways.items():
            for moved, added in _steps(line, way, arrived, unknown):
                if len(further) < MOST_WAYS:
                    further.setdefault(moved, (rest, *added) if added[1] else rest)
        ways = further
    end = (len(stdout), len(stderr))
    if end not in ways:
        return None
    return _joined(ways[end])


def _lines(log: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(log):
        end = log.find(b"\n", at) + 1 or len(log)
        yield log[at:end]
        at = end


def _steps(line: bytes, way: Way, arrived: tuple[bytes, bytes], unknown: int) -> list[tuple[Way, tuple[int, bytes]]]:
    """Return where a line can lead: how much is read then, and what of the line has not arrived, with its stream."""
    found: list[tuple[Way, tuple[int, bytes]]] = []
    for number, text in enumerate(arrived):
        at = way[number]
        part = text[at : at + len(line)]
        if part and line.startswith(part):
            moved = (at + len(part), way[1]) if number == 0 else (way[0], at + len(part))
            found.append((moved, (number, line[len(part) :])))
    if found:
        return found
    done = [number for number, text in enumerate(arrived) if way[number] == len(text)]
    if not done:
        return []
    if line.startswith(LAUNCHER):
        return [(way, (1, line))]
    return [(way, (done[0] if len(done) == 1 else unknown, line))]


def _joined(rest: Rest) -> tuple[bytes, bytes]:
    found: tuple[list[bytes], list[bytes]] = ([], [])
    while rest is not None:
        rest, number, part = rest
        found[number].append(part)
    return b"".join(reversed(found[0])), b"".join(reversed(found[1]))

"""The protocol of executors: they start, watch and stop attempts, and read their output.

Nine sentences hold for each of them; `tests/executors/contract.py` has them as tests:

1. `start` twice with one name is one attempt.
2. `start` returns once the attempt is accepted.
3. The handle is a string, and all that a new process needs.
4. `poll` changes nothing.
5. Ended with an unknown exit code is `AttemptExit(None, "lost")`.
6. An unknown state raises `ExecutorUnavailable`.
7. `stop` asks and returns at once; the executor kills what has not ended after the grace period.
8. `logs` and `page` work from the first byte, during and after, until `remove`.
9. An executor does not know the store or the engine, and calls nothing back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit

from fabric_jobs.shell import Shell

LOST = "lost"
STOPPED = "stopped"
UNPREPARED = "unprepared"  # what the program needs could not be installed; the program was not started
REFUSED = "refused"  # it can never be started
NOT_STARTED = "not started"  # its last lines say why
OUT_OF_MEMORY = "oom"  # it needed more memory than its limit
FAULT = "fault"  # it cannot be watched or stopped, though its executor answers
STREAMS = ("stdout", "stderr")


@dataclass(frozen=True, kw_only=True)
class Inside:
    """Names and addresses as seen from inside an attempt."""

    files: str  # the directory of the attempt's files
    api_endpoint: str  # of the gateway: http://HOST:PORT/px
    socket: str = ""  # path of the gateway's Unix socket; empty where it cannot be reached that way
    records: str = ""  # the directory of records; empty where it is not seen
    shows: bool = False  # only those directories in it that `AttemptSpec.records` names

    @property
    def gateway(self) -> str:
        """The host of the gateway."""
        return urlsplit(self.api_endpoint).hostname or ""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits of one attempt; 0 means no limit."""

    cpu: float = 0.0  # processors
    memory: int = 0  # bytes
    gpu: int = 0


@dataclass(frozen=True, kw_only=True)
class ProcessSpec:
    """One program of an attempt."""

    directory: Path | None  # the action's directory; None where only its image is known
    command: tuple[str, ...] = ()  # empty: what the Dockerfile, or the image, says
    arguments: tuple[str, ...] = ()  # appended to the command, in every place
    image: str = ""
    python: str = ""  # the interpreter of a place that has no images: a version, a name or a path; empty: its own
    environment: Mapping[str, str] = field(default_factory=dict)
    shell: Shell | None = (
        None  # of the command that invoked it, where programs are this machine's; None: this process's
    )
    workspace: str = ""  # a directory that the program can use, by the same path; empty: none
    gateway: str = ""  # its host, which the program reaches without a proxy
    limits: Limits = Limits()
    warm: tuple[str, ...] | None = None  # modules of the process that it is forked from, where possible; None: cold
    port: int = (
        0  # on which it is expected to listen; a place may give it another one, in the variable PORT; 0: on none
    )


@dataclass(frozen=True, kw_only=True)
class AttemptSpec:
    """What an executor needs to start an attempt."""

    name: str  # unique; starting it twice is starting it once
    processes: tuple[ProcessSpec, ...]
    files: Mapping[str, bytes] = field(default_factory=dict)  # given to the programs, in `Inside.files`
    records: tuple[tuple[str, bool], ...] = ()  # directories in `Inside.records`, and whether the programs write there


@dataclass(frozen=True)
class AttemptExit:
    """How an attempt ended."""

    code: int | None  # 128 + n for signal n; None when unknown
    reason: str = ""  # "", LOST, STOPPED, UNPREPARED, REFUSED, NOT_STARTED, OUT_OF_MEMORY or FAULT
    cause: str = ""  # of REFUSED and FAULT: the error, in words


class Note(NamedTuple):
    """What people may want to know about an attempt besides its output."""

    doing: str = ""  # what keeps the program from running yet, such as `installing requirements`; empty once it runs
    remarks: tuple[str, ...] = ()  # what this executor does not support; remarks stay
    waits: bool = False  # for the place itself, such as for an image: that is not the program's time


@dataclass(frozen=True, kw_only=True)
class LogQuery:
    """Which page of a log is wanted."""

    cursor: str = ""  # of the page before; empty: the first one
    streams: tuple[str, ...] = STREAMS
    since: float = 0.0  # where there is no cursor: begin with the first line that was seen then (seconds since 1970)
    whole: bool = False  # leave an unfinished last line for a later page
    limit: int = 1 << 20  # bytes


@dataclass(frozen=True)
class LogPart:
    """Output of one stream, seen at one time; it ends at the end of a line, unless nothing follows yet."""

    stream: str
    at: float | None  # seconds since 1970; None where the place has no times
    bytes: bytes


@dataclass(frozen=True)
class LogPage:
    """Some parts of a log, in the order in which they were seen."""

    parts: tuple[LogPart, ...]
    cursor: str  # of the next page
    more: bool  # there is more now; otherwise this is all so far


class Doors(Protocol):
    """The addresses of the gateway; an executor whose programs are not processes of this machine asks for more."""

    socket: str  # path of its Unix socket
    advertised: str  # http://HOST:PORT, by which other machines reach it; empty: nobody said

    @property
    def url(self) -> str:
        """Return http://HOST:PORT, by which programs of this machine reach it."""

    def listen(self, host: str) -> str:
        """Listen on one more address of this machine, and return the URL; calling it twice is harmless.

        Raises PlaceUnavailable when it is not an address of this machine, or its port is taken.
        """

    def share(self) -> Path:
        """Return a directory that has nothing in it but one more Unix socket, `gateway`, which everybody may use who sees it."""


class Executor(Protocol):
    """Runs attempts. Every method may raise ExecutorUnavailable: ask again later."""

    name: str

    def inside(self, name: str) -> Inside:
        """Return the names and addresses as seen from inside the attempt of that name."""

    def start(self, spec: AttemptSpec) -> str:
        """Start an attempt and return its handle; if the name is known, return the handle of the existing one.

        Raises InvalidInput when the program can never be started.
        """

    def poll(self, handle: str) -> AttemptExit | None:
        """Return how the attempt ended, or None while it runs.

        It has ended with STOPPED when none of its processes is alive. One that ended with another code than 0 has left nothing
        running either; what one with code 0 has left running is remarked in its note.
        """

    def stop(self, handle: str, grace: float) -> None:
        """Ask the attempt to end and return at once; it is killed after `grace` seconds. `changed` tells when it is over.

        It may be repeated, and a shorter grace period counts. For an ended attempt, it ends the remaining processes.
        """

    def logs(self, handle: str, stream: str, offset: int, limit: int) -> bytes:
        """Return at most `limit` bytes of `stdout` or `stderr` from byte `offset` on; empty when there are no more yet.

        A negative offset counts from the end.
        """

    def merged(self, handle: str, limit: int) -> bytes:
        """Return stdout and stderr of an ended attempt, merged line by line by the time at which they were seen.

        At most about `limit` bytes are read.
        """

    def address(self, handle: str) -> tuple[str, int]:
        """Return host and port of a program that listens, even if it does not listen yet.

        One that listens elsewhere than it was told may be found there, once it does.
        Raises ExecutorUnavailable as long as it is not known.
        """

    def page(self, handle: str, query: LogQuery) -> LogPage:
        """Return the next part of stdout and stderr, merged line by line by the time at which they were seen.

        All pages together hold every byte once. A line of more than `attempt_files.pages.LINE_BYTES` may come in parts.
        Raises InvalidInput when the cursor is not valid.
        """

    def note(self, handle: str) -> Note:
        """Return the note of an attempt; cheap, and also for attempts that have ended or are gone."""

    def remove(self, handle: str) -> None:
        """Delete what is left of an ended attempt, logs included. Calling it twice is harmless."""

    def changed(self) -> tuple[str, ...]:
        """Wait until attempts may have ended and return their handles; an empty tuple after `wake` or `close`.

        A handle may come more than once, and only those that this process has started or polled come. One thread waits.
        """

    def wake(self) -> None:
        """Let the current or next `changed` return; from any thread."""

    def close(self) -> None:
        """Release everything in this process; attempts keep running."""

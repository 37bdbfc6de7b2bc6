"""Defines the protocol of executors: they start, watch and stop attempts, and read their output.

Nine sentences hold for each of them; `tests/executors/contract.py` has them as tests:

1. Two calls of `start` with one name make one attempt.
2. `start` returns once the attempt is accepted.
3. The handle is a string. A new process needs nothing else.
4. `poll` changes nothing.
5. An attempt that ended with an unknown exit code is `AttemptExit(None, "lost")`.
6. An unknown state raises `ExecutorUnavailable`.
7. `stop` asks and returns at once. The executor kills what has not ended after the grace period.
8. `logs` and `page` work from the first byte, during the attempt and after it, until `remove`.
9. An executor knows neither the store nor the engine, and has no callbacks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit

from fabric_jobs.shell import Shell

LOST = "lost"
STOPPED = "stopped"
UNPREPARED = "unprepared"  # its requirements could not be installed; the program was not started
REFUSED = "refused"  # it can never start
NOT_STARTED = "not started"  # its last lines of output say why
OUT_OF_MEMORY = "oom"  # it needed more memory than its limit
FAULT = "fault"  # it cannot be watched or stopped, though its executor answers
STREAMS = ("stdout", "stderr")


@dataclass(frozen=True, kw_only=True)
class Inside:
    """Names and addresses as seen from inside an attempt."""

    files: str  # the directory of the attempt's files
    api_endpoint: str  # of the gateway: http://HOST:PORT/px
    socket: str = ""  # path of the gateway's Unix socket; empty where it is unreachable
    records: str = ""  # the directory of records; empty where it is invisible
    shows: bool = False  # only the directories named in `AttemptSpec.records` are visible

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
    shm: int = 0  # bytes of /dev/shm; 0: the default of the place
    reserved_cpu: float = 0.0  # processors kept for it where a place can do that; it may use more


class Health(NamedTuple):
    """A command that tells by its exit code whether a program is well. One that is not is killed."""

    command: tuple[str, ...]
    delay: float  # seconds until failures count
    period: float  # seconds between two
    timeout: float  # seconds
    failures: int  # in a row, after which it is not well


@dataclass(frozen=True, kw_only=True)
class ProcessSpec:
    """One program of an attempt."""

    directory: Path | None  # the action's directory; None where only its image is known
    command: tuple[str, ...] = ()  # empty: that of the Dockerfile or the image
    arguments: tuple[str, ...] = ()  # appended to the command, in every place
    image: str = ""
    python: str = ""  # the interpreter of a place that has no images: a version, a name or a path; empty: its own
    environment: Mapping[str, str] = field(default_factory=dict)
    shell: Shell | None = None  # that of the invoking command, for programs of this machine; None: this process's
    workspace: str = ""  # a directory visible to the program at the same path; empty: none
    gateway: str = ""  # the gateway's host, reached without a proxy
    limits: Limits = Limits()
    warm: tuple[str, ...] | None = None  # modules to preload in its template process, where possible; None: cold
    is_secret: bool = False  # it holds secrets in clear, so it must never be on a disk
    requirements: str = "requirements.txt"  # in `directory`
    unsupported: Mapping[str, str] = field(
        default_factory=dict
    )  # file in `directory` -> why a place without images ignores it
    is_project: bool = False  # a container sees `directory`, too, and its program starts there
    name: str = ""  # of one of several containers, for people
    health: Health | None = None  # of one of several containers
    port: int = 0  # where it should listen; an executor may choose another one, in the variable PORT; 0: nowhere
    pod_spec: tuple[Mapping[str, Any], ...] = ()  # adds of RFC 6902, {path, value}, for the pod of a cluster
    k8s_resources: tuple[str, ...] = ()  # more objects for a cluster, as JSON


@dataclass(frozen=True, kw_only=True)
class AttemptSpec:
    """What an executor needs to start an attempt.

    Where programs are containers there may be several. They share a network and the directories `shared`, and only the first one
    gets the files, the records, and the ways to the gateway. The first one that ends by itself ends the attempt, and its exit
    is that of the attempt.
    """

    name: str  # unique; starting it twice starts it once
    processes: tuple[ProcessSpec, ...]
    files: Mapping[str, bytes] = field(default_factory=dict)  # for the programs, in `Inside.files`
    records: tuple[tuple[str, bool], ...] = ()  # directories in `Inside.records`, and whether programs write there
    shared: tuple[str, ...] = ()  # directories that several programs have in common, such as /mnt
    placed: Mapping[str, str] = field(default_factory=dict)  # path in a shared directory -> name in `files`
    hosts: tuple[str, ...] = ()  # names that lead to the attempt itself
    labels: Mapping[str, str] = field(default_factory=dict)  # what it is part of: project, activation, task and so on
    timeout: float = 0.0  # seconds that its program may run; whoever starts it watches them; 0: no limit
    replicas: int | None = None  # of a daemon: copies that share its port, where a place can have several


@dataclass(frozen=True)
class AttemptExit:
    """How an attempt ended."""

    code: int | None  # 128 + n for signal n; None when unknown
    reason: str = ""  # "", LOST, STOPPED, UNPREPARED, REFUSED, NOT_STARTED, OUT_OF_MEMORY or FAULT
    cause: str = ""  # of REFUSED and FAULT: the error, in words


class Note(NamedTuple):
    """What people may want to know about an attempt besides its output."""

    doing: str = ""  # why the program does not run yet, such as `installing requirements`; empty once it runs
    remarks: tuple[str, ...] = ()  # what this executor does not support; kept after the end
    waits: bool = False  # for the place, such as for an image; does not count as the program's time


@dataclass(frozen=True, kw_only=True)
class LogQuery:
    """Which page of a log is wanted."""

    cursor: str = ""  # of the page before; empty: the first one
    streams: tuple[str, ...] = STREAMS
    since: float = 0.0  # without a cursor: begin with the first line seen then (seconds since 1970)
    whole: bool = False  # leave an unfinished last line for a later page
    limit: int = 1 << 20  # bytes


@dataclass(frozen=True)
class LogPart:
    """Output of one stream, seen at one time. It ends with a line, unless nothing follows yet."""

    stream: str
    at: float | None  # seconds since 1970; None if the place records no times
    bytes: bytes


@dataclass(frozen=True)
class LogPage:
    """Parts of a log, in the order in which they were seen."""

    parts: tuple[LogPart, ...]
    cursor: str  # of the next page
    more: bool  # more is there already; otherwise this is all so far


class Doors(Protocol):
    """The addresses of the gateway. An executor whose programs are not processes of this machine asks for more of them."""

    socket: str  # path of its Unix socket
    advertised: str  # http://HOST:PORT for other machines; empty: not configured

    @property
    def url(self) -> str:
        """Return http://HOST:PORT for programs of this machine."""

    def listen(self, host: str) -> str:
        """Listen on another address of this machine and return the URL. Idempotent.

        Raises PlaceUnavailable if the address is not one of this machine, or its port is taken.
        """

    def share(self) -> Path:
        """Return a directory that contains only another Unix socket, `gateway`, open to everybody who sees it."""


class Executor(Protocol):
    """Runs attempts. Every method may raise ExecutorUnavailable: ask again later."""

    name: str

    def inside(self, name: str) -> Inside:
        """Return the names and addresses as seen from inside the attempt of that name."""

    def start(self, spec: AttemptSpec) -> str:
        """Start an attempt and return its handle. If the name is known, return the existing handle.

        Raises InvalidInput if the program can never start.
        """

    def poll(self, handle: str) -> AttemptExit | None:
        """Return how the attempt ended, or None while it runs.

        STOPPED means that none of its processes is alive. After any exit code but 0 nothing is left running either;
        processes left by an attempt with code 0 are listed in its note.
        """

    def stop(self, handle: str, grace: float) -> None:
        """Ask the attempt to end and return at once. It is killed after `grace` seconds. `changed` reports its end.

        Of repeated calls the shortest grace period counts. For an ended attempt, this ends the remaining processes.
        """

    def logs(self, handle: str, stream: str, offset: int, limit: int) -> bytes:
        """Return at most `limit` bytes of `stdout` or `stderr` from byte `offset` on; empty if there are no more yet.

        A negative offset counts from the end.
        """

    def size(self, handle: str, stream: str) -> int:
        """Return how many bytes of `stdout` or `stderr` there are by now."""

    def merged(self, handle: str, limit: int) -> bytes:
        """Return stdout and stderr of an ended attempt, merged line by line by the time at which they were seen.

        At most about `limit` bytes are read.
        """

    def address(self, handle: str) -> tuple[str, int]:
        """Return host and port where a program listens or will listen.

        If it listens elsewhere than it was told, that address may be returned once it does.
        Raises ExecutorUnavailable while the address is unknown.
        """

    def page(self, handle: str, query: LogQuery) -> LogPage:
        """Return the next part of stdout and stderr, merged line by line by the time at which they were seen.

        All pages together hold every byte once. A line longer than `attempt_files.pages.LINE_BYTES` may come in parts.
        Raises InvalidInput for an invalid cursor.
        """

    def note(self, handle: str) -> Note:
        """Return the note of an attempt. It is cheap, and works for attempts that have ended or are gone."""

    def remove(self, handle: str) -> None:
        """Delete what is left of an ended attempt, logs included. Idempotent."""

    def changed(self) -> tuple[str, ...]:
        """Wait until attempts may have ended, and return their handles; an empty tuple after `wake` or `close`.

        A handle may come more than once. Only attempts that this process has started or polled are reported. One thread waits.
        """

    def wake(self) -> None:
        """Make the current or next `changed` return, from any thread."""

    def close(self) -> None:
        """Release this process's resources; attempts keep running."""

"""What an executor is: it starts, looks at and stops attempts in one kind of place, and reads their output.

Nine sentences hold for each of them; `tests/executors/contract.py` has them as tests:

1. `start` twice with one name is one attempt.
2. `start` returns once the attempt is accepted.
3. The handle is a string, and all that a new process needs.
4. `poll` changes nothing.
5. Ended, but nobody knows how, is `AttemptExit(None, "lost")`.
6. Cannot tell raises `ExecutorUnavailable`.
7. `stop` asks and returns at once; the executor forces what has not ended after the grace.
8. `logs` and `page` work from the first byte, during and after, until `remove`.
9. An executor knows no store and no engine, and calls nobody back.
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
REFUSED = "refused"  # it cannot be started, whatever one tries
NOT_STARTED = "not started"  # its last lines say why
OUT_OF_MEMORY = "oom"  # it wanted more memory than it may use
FAULT = "fault"  # nobody can look at it, or stop it, and not because its place does not answer
STREAMS = ("stdout", "stderr")


@dataclass(frozen=True, kw_only=True)
class Inside:
    """How things are called where the programs of an attempt run."""

    files: str  # the directory of the attempt's files
    api_endpoint: str  # of the gateway: http://HOST:PORT/px
    socket: str = ""  # path of the gateway's Unix socket; empty where it cannot be reached that way

    @property
    def gateway(self) -> str:
        """The host of the gateway."""
        return urlsplit(self.api_endpoint).hostname or ""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one attempt may use; 0 is no limit."""

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
    warm: tuple[str, ...] | None = None  # where it can, a place forks it from a process with these modules; None: cold
    port: int = (
        0  # on which it is expected to listen; a place may give it another one, in the variable PORT; 0: on none
    )


@dataclass(frozen=True, kw_only=True)
class AttemptSpec:
    """All that an executor needs to start an attempt."""

    name: str  # unique; starting it twice is starting it once
    processes: tuple[ProcessSpec, ...]
    files: Mapping[str, bytes] = field(default_factory=dict)  # given to the programs, in `Inside.files`


@dataclass(frozen=True)
class AttemptExit:
    """How an attempt ended."""

    code: int | None  # 128 + n for signal n; None when nobody knows
    reason: str = ""  # "", LOST, STOPPED, UNPREPARED, REFUSED, NOT_STARTED, OUT_OF_MEMORY or FAULT
    cause: str = ""  # of REFUSED and FAULT: the error, in words


class Note(NamedTuple):
    """What people may want to know of an attempt beside its output."""

    doing: str = ""  # what keeps the program from running yet, such as `installing requirements`; empty once it runs
    remarks: tuple[str, ...] = ()  # what this place does not carry out; they stay
    waits: bool = False  # for the place itself, such as for an image: that is not the program's time


@dataclass(frozen=True, kw_only=True)
class LogQuery:
    """Which page of a log is wanted."""

    cursor: str = ""  # of the page before; empty: the first one
    streams: tuple[str, ...] = STREAMS
    since: float = 0.0  # where there is no cursor: begin with the first line that was seen then (seconds since 1970)
    whole: bool = False  # leave a last line that has no end yet for a later page
    limit: int = 1 << 20  # bytes


@dataclass(frozen=True)
class LogPart:
    """Some output of one stream that was seen at one time; it ends with a line's end, unless nothing follows it yet."""

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
    """How the gateway can be reached; an executor whose programs are not processes of this machine asks for more doors."""

    socket: str  # path of its Unix socket
    advertised: str  # http://HOST:PORT, by which other machines reach it; empty: nobody said

    @property
    def url(self) -> str:
        """Return http://HOST:PORT, by which programs of this machine reach it."""

    def listen(self, host: str) -> str:
        """Listen on one more address of this machine, and return the URL; twice is harmless.

        Raises PlaceUnavailable when it is no address of this machine, or its port is taken.
        """

    def share(self) -> Path:
        """Return a directory that has nothing in it but one more Unix socket, `gateway`, which everybody may use who sees it."""


class Executor(Protocol):
    """One kind of place. Every method may raise ExecutorUnavailable: the place did not answer, ask again later."""

    name: str

    def inside(self, name: str) -> Inside:
        """Return how things will be called in the attempt of that name."""

    def start(self, spec: AttemptSpec) -> str:
        """Start an attempt and return its handle; return that of the running or ended one when the name is known.

        Raises InvalidInput when the program cannot be started whatever one tries.
        """

    def poll(self, handle: str) -> AttemptExit | None:
        """Return how the attempt ended, or None while it runs.

        It has ended with STOPPED when nothing of it lives any more. One that ended with another code than 0 has left nothing
        running either; what one with code 0 has left running is remarked in its note.
        """

    def stop(self, handle: str, grace: float) -> None:
        """Ask the attempt to end and return at once; it is forced after `grace` seconds. `changed` tells when it is over.

        Asked again it is harmless, and a shorter grace counts. Of an attempt that has ended it ends what is left.
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
        """Return where a program that listens can be reached: host and port, also when it does not listen yet.

        One that listens elsewhere than it was told may be found there, once it does.
        Raises ExecutorUnavailable as long as it is not known.
        """

    def page(self, handle: str, query: LogQuery) -> LogPage:
        """Return the next part of stdout and stderr, merged line by line by the time at which they were seen.

        All pages together hold every byte once. A line of more than `attempt_files.pages.LINE_BYTES` may come in parts.
        Raises InvalidInput when the cursor is none.
        """

    def note(self, handle: str) -> Note:
        """Return what there is to say of an attempt; it may be asked often, and of an attempt that has ended or is gone."""

    def remove(self, handle: str) -> None:
        """Delete what is left of an ended attempt, logs included. Twice is harmless."""

    def changed(self) -> tuple[str, ...]:
        """Wait until attempts may have ended and return their handles; an empty tuple after `wake` or `close`.

        A handle may come more than once, and only those that this process has started or polled come. One thread waits.
        """

    def wake(self) -> None:
        """Let `changed` return, the next time where nobody waits in it; from any thread."""

    def close(self) -> None:
        """Let go of everything in this process; attempts run on."""

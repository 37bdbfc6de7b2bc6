"""What callers want of daemons, and what has become of it: the meeting point of the calls and the engine."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from fabric_jobs.clock import steady
from fabric_jobs.definitions import Action
from fabric_jobs.engine.printed import NOTHING_PRINTED, Printed
from fabric_jobs.executors.base import ProcessSpec
from fabric_jobs.records import DAEMON, Task


@dataclass(frozen=True, kw_only=True)
class DaemonKey:
    """Identifies a program: one version of one action of a skill, in one kind of place."""

    executor: str
    project_id: str
    skill_name: str
    version: int
    action: str
    files: str = ""  # the program's fingerprint: a changed program is another daemon

    @property
    def node(self) -> str:
        """The column `node` of its task."""
        return f"{self.version}:{self.files}:{self.executor}"

    @property
    def subject(self) -> str:
        """What the engine looks at; that of its task."""
        return f"{DAEMON}{self.project_id}/{self.skill_name}/{self.action}/{self.node}"

    @property
    def program(self) -> tuple[str, str, str, str]:
        """What at most one daemon at a time may run."""
        return self.project_id, self.skill_name, self.action, self.executor


class Launched(NamedTuple):
    """An attempt that its place has accepted."""

    task: Task
    handle: str


class Failure(NamedTuple):
    """A daemon could not start."""

    at: float  # by the monotonic clock
    cause: str
    printed: Printed = NOTHING_PRINTED


class Want:
    """What callers want of one daemon. The calls write the first part, the engine's thread the second."""

    def __init__(self, key: DaemonKey, action: Action, process: ProcessSpec | None, port: int) -> None:
        """`process` is None when the program is only to be stopped: its definition is gone. `port` is the declared one."""
        self.key = key
        self.action = action
        self.process = process
        self.port = port
        self.last_used = steady()
        self.calls = 0  # under way
        self.waiters = 0  # callers that wait for the program
        self.outdated = False  # its program has changed
        self.ready = False  # the current attempt has listened
        self.silent = ""  # why the current attempt is to end: it does not listen

        self.running: Launched | None = None
        self.failure: Failure | None = None
        self.told = 0  # the port that the last attempt was told
        self.deaths = 0  # attempts in a row that ended before they listened
        self.trouble = ""  # why its place does not answer
        self.listener: Callable[[], None] = lambda: None  # told of every change, in the engine's or a lane's thread

    @property
    def is_used(self) -> bool:
        """Whether somebody calls it, or waits for it."""
        return self.calls > 0 or self.waiters > 0


class Wants:
    """All wants, by subject. Safe to use from any thread."""

    def __init__(self, wake: Callable[[str], None]) -> None:
        """`wake` makes the engine look at a subject."""
        self.wake = wake
        self.closing = False
        self._wants: dict[str, Want] = {}
        self._lock = threading.Lock()

    def find(self, subject: str) -> Want | None:
        """Return the want of a subject, or None."""
        with self._lock:
            return self._wants.get(subject)

    def put(self, want: Want) -> None:
        """Add a want; others of the same program are outdated from now on."""
        with self._lock:
            self._wants[want.key.subject] = want
            others = [other for other in self._wants.values() if other.key.program == want.key.program]
        for other in others:
            other.outdated = other is not want
            self.wake(other.key.subject)

    def drop(self, want: Want) -> None:
        """Forget a want whose program is gone for good."""
        with self._lock:
            if self._wants.get(want.key.subject) is want:
                del self._wants[want.key.subject]

    def close(self) -> None:
        """Let all programs end."""
        self.closing = True
        with self._lock:
            subjects = list(self._wants)
        for subject in subjects:
            self.wake(subject)

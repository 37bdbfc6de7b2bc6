"""The lane of a place: the one thread of an engine that talks to its executor (docs/explanation/architecture.md).

The engine posts wishes and goes on; the lane reports facts. So a place that does not answer delays only its own tasks.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from fabric_jobs.engine.faults import Faults
from fabric_jobs.engine.output import NOTHING, Output
from fabric_jobs.errors import FabricJobsError, InvalidInput
from fabric_jobs.executors.base import FAULT, REFUSED, AttemptExit, AttemptSpec, Executor, Inside
from fabric_jobs.records import Task

RETRY_SECONDS = 1.0  # pause after an executor or the disk did not answer
TURN = 32  # wishes carried out between two checks for ended attempts


@dataclass(frozen=True, kw_only=True)
class Work:
    """One attempt, as its lane needs it. The functions run in the lane's thread."""

    task: Task
    make: Callable[[Inside], AttemptSpec]  # raises InvalidInput when the program can never start
    read: Callable[[Executor, str, AttemptExit], Output]  # read the output that its end needs
    note: Callable[[str], None]  # its place has accepted it under this handle
    postpone: Callable[[bool], None]  # its time was up while its place waited; True: it still waits


@dataclass(frozen=True, kw_only=True)
class Start:
    """Hand an attempt over; one that was handed over before continues."""

    work: Work


@dataclass(frozen=True, kw_only=True)
class Look:
    """Ask how an attempt is, and report its end from now on."""

    work: Work
    handle: str


@dataclass(frozen=True, kw_only=True)
class Stop:
    """Ask, wait, force. An attempt without a handle is handed over first: only its place knows whether it runs."""

    work: Work
    handle: str
    grace: float


@dataclass(frozen=True, kw_only=True)
class Ask:
    """Ask whether the program of an attempt runs, or its place still waits for something."""

    work: Work
    handle: str


Wish = Start | Look | Stop | Ask


class Hearing(Protocol):
    """Receives the facts, in the lane's thread."""

    def accepted(self, task: Task, handle: str) -> None:
        """The place has accepted the attempt."""

    def ended(self, task: Task, ended: AttemptExit, output: Output) -> None:
        """The attempt has ended."""

    def answered(self, task: Task, *, waits: bool) -> None:
        """`waits`: the place still waits for something; else the program runs."""

    def in_trouble(self, task: Task, reason: str) -> None:
        """The place does not answer; repeat the request."""


class Lane:
    """One place."""

    def __init__(self, name: str, executors: Mapping[str, Executor], hearing: Hearing, faults: Faults) -> None:
        """The lane's thread looks up the executor, and perhaps makes it."""
        self._name = name
        self._executors = executors
        self._executor: Executor | None = None
        self._hearing = hearing
        self._faults = faults
        self._wishes: deque[Wish] = deque()
        self._held: dict[str, Work] = {}  # by handle
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"lane-{name}", daemon=True)
        self._thread.start()

    def post(self, wish: Wish) -> None:
        """Queue a wish; the lane carries out its wishes in order. Safe to call from any thread."""
        self._wishes.append(wish)
        self._wake()

    def close(self, seconds: float) -> None:
        """End the thread; wait at most `seconds`, since an executor may not answer. Attempts keep running."""
        self._closing.set()
        self._wake()
        self._thread.join(seconds)
        if self._executor is not None:
            self._executor.close()

    def _wake(self) -> None:
        if self._executor is not None:  # else it is being made, and the thread reads its wishes after that
            self._executor.wake()

    def _run(self) -> None:
        executor = self._open()
        while executor is not None and not self._closing.is_set():
            for _ in range(min(TURN, len(self._wishes))):
                self._carry_out(executor, self._wishes.popleft())
            if self._wishes:
                executor.wake()
            try:
                handles = executor.changed()
            except Exception as error:  # this thread serves all attempts of its place
                self._faults.note(self._name, error, f"what changed in the place '{self._name}'")
                self._closing.wait(RETRY_SECONDS)
                continue
            for handle in handles:
                work = self._held.get(handle)
                if work is not None:
                    self._guarded(work, lambda work=work, handle=handle: self._look(executor, work, handle))  # type: ignore[misc]

    def _open(self) -> Executor | None:
        while not self._closing.is_set():
            try:
                self._executor = self._executors[self._name]
            except Exception as error:  # such as a broken library: the wishes wait
                self._faults.note(self._name, error, f"the place '{self._name}'")
                self._closing.wait(RETRY_SECONDS)
            else:
                return self._executor
        return None

    def _carry_out(self, executor: Executor, wish: Wish) -> None:
        match wish:
            case Start(work=work):
                self._guarded(work, lambda: self._start(executor, work))
            case Look(work=work, handle=handle):
                self._guarded(work, lambda: self._look(executor, work, handle))
            case Ask(work=work, handle=handle):
                self._guarded(work, lambda: self._hearing.answered(work.task, waits=executor.note(handle).waits))
            case Stop(work=work, handle=handle, grace=grace):
                self._guarded(work, lambda: self._stop(executor, work, handle, grace))

    def _guarded(self, work: Work, step: Callable[[], object]) -> None:
        """Do a step for an attempt; after an unexpected error retry a few times, then fail the attempt."""
        task = work.task
        try:
            step()
        except FabricJobsError as error:
            self._hearing.in_trouble(task, error.message)
        except Exception as error:
            cause = self._faults.note(task.task_id, error, f"task {task.name}")
            if cause:
                self._tell(work, AttemptExit(None, FAULT, cause))
            else:
                self._hearing.in_trouble(task, str(error) or type(error).__name__)

    def _start(self, executor: Executor, work: Work) -> str:
        try:
            handle = executor.start(work.make(executor.inside(work.task.attempt_name)))
        except InvalidInput as error:
            self._tell(work, AttemptExit(None, REFUSED, str(error)))
            return ""
        self._held[handle] = work
        self._hearing.accepted(work.task, handle)
        return handle

    def _look(self, executor: Executor, work: Work, handle: str) -> None:
        self._held[handle] = work
        ended = executor.poll(handle)
        if ended is None:
            self._hearing.accepted(work.task, handle)
            return
        output = work.read(executor, handle, ended)
        self._held.pop(handle, None)
        self._tell(work, ended, output)

    def _stop(self, executor: Executor, work: Work, handle: str, grace: float) -> None:
        handle = handle or self._start(executor, work)
        if handle:
            executor.stop(handle, grace)
            self._look(executor, work, handle)

    def _tell(self, work: Work, ended: AttemptExit, output: Output = NOTHING) -> None:
        self._faults.forget(work.task.task_id)
        self._hearing.ended(work.task, ended, output)

"""The attempts that this process knows of: which may have ended, and which are being stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from fabric_jobs.engine.faults import Faults
from fabric_jobs.errors import ExecutorUnavailable
from fabric_jobs.executors.base import FAULT, AttemptExit, Executor
from fabric_jobs.records import Attempt, Task
from fabric_jobs.states import TaskState
from fabric_jobs.store import tasks
from fabric_jobs.store.sql import Sql

RETRY_SECONDS = 1.0  # after an executor or the disk did not answer
EARLY_LIMIT = 4096  # between an attempt's start and its note there is no time for more


class Attempts:
    """Asks the executors, and only about attempts that may have changed."""

    def __init__(self, executors: Mapping[str, Executor], on_change: Callable[[str], None], faults: Faults) -> None:
        """`on_change(activation_id)` is called, in a thread of this class, when an attempt of an activation may have ended."""
        self.faults = faults  # by task
        self._executors = executors
        self._used: dict[str, Executor] = {}
        self._on_change = on_change
        self._known: dict[int, tuple[Task, str, str]] = {}  # task_id -> task, executor, handle of its attempt
        self._tasks: dict[str, int] = {}  # handle -> task_id
        self._changed: set[int] = set()
        self._early: dict[str, None] = {}  # handles that changed before we knew whose they are, or after we forgot
        self._stopping: set[str] = set()
        self._broken: dict[str, AttemptExit] = {}  # by handle: what cannot be stopped
        self._troubles: dict[int, tuple[Task, str]] = {}  # by task: why its place cannot be asked
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._stoppers: dict[str, ThreadPoolExecutor] = {}  # by place: one that does not answer keeps its threads

    def executor(self, name: str) -> Executor:
        """Return the executor of that name; from its first use on we are told what changed there."""
        with self._lock:
            known = self._used.get(name)
        if known is not None:
            return known
        executor = self._executors[name]
        with self._lock:
            is_first = name not in self._used
            if is_first:
                self._stoppers[name] = ThreadPoolExecutor(max_workers=16, thread_name_prefix=f"{name}-stop")
            self._used[name] = executor
        if is_first:
            threading.Thread(target=self._forward, args=(executor,), name=f"{name}-changed", daemon=True).start()
        return executor

    def trouble(self, task: Task, reason: str) -> None:
        """The place of a task does not answer; an empty reason says that it does again."""
        with self._lock:
            if reason:
                self._troubles[task.task_id] = (task, reason)
            else:
                self._troubles.pop(task.task_id, None)

    def troubles(self, activation_id: str) -> dict[str, str]:
        """Return why the places of an activation's tasks cannot be asked, by node."""
        with self._lock:
            found = list(self._troubles.values())
        return {task.node: reason for task, reason in found if task.activation_id == activation_id}

    def note(self, task: Task, executor: str, handle: str) -> None:
        """An attempt was handed to an executor."""
        self.trouble(task, "")
        with self._lock:
            before = self._known.get(task.task_id)
            if before is not None:
                self._tasks.pop(before[2], None)
            self._known[task.task_id] = (task, executor, handle)
            self._tasks[handle] = task.task_id
            self._changed.add(task.task_id)  # it may have ended before we knew its handle
            ended_before = handle in self._early
            self._early.pop(handle, None)
        if ended_before:
            self._on_change(str(task.activation_id))

    def accepted(self, live: tuple[Task, ...]) -> frozenset[int]:
        """Return the tasks whose current attempt is in the hands of an executor, as far as this process knows."""
        with self._lock:
            known = {task.task_id: self._known.get(task.task_id) for task in live}
        return frozenset(
            task.task_id for task in live if (found := known[task.task_id]) and found[0].attempt == task.attempt
        )

    def forget(self, task: Task) -> None:
        """The attempt is over and done with."""
        self.trouble(task, "")
        self.faults.forget(task.task_id)
        with self._lock:
            known = self._known.pop(task.task_id, None)
            self._changed.discard(task.task_id)
            if known is not None:
                self._tasks.pop(known[2], None)
                self._stopping.discard(known[2])
                self._broken.pop(known[2], None)
                self._early.pop(known[2], None)

    def handle(self, sql: Sql, task: Task) -> tuple[Executor, str] | None:
        """Return the executor and the handle of the current attempt; None when no executor has accepted it yet."""
        with self._lock:
            known = self._known.get(task.task_id)
        if known is not None and known[0].attempt == task.attempt:
            return self.executor(known[1]), known[2]
        attempt: Attempt | None = tasks.attempt(sql, task.task_id, task.attempt)
        if attempt is None or attempt.handle is None:
            return None
        self.note(task, attempt.executor, attempt.handle)
        return self.executor(attempt.executor), attempt.handle

    def changed(self, activation_id: str) -> list[Task]:
        """Return the tasks of an activation whose attempts may have ended, as they were when these were handed over."""
        with self._lock:
            known = [self._known[task_id][0] for task_id in self._changed if task_id in self._known]
        return [task for task in known if task.activation_id == activation_id]

    def exits(self, sql: Sql, live: list[Task]) -> tuple[dict[int, AttemptExit], bool]:
        """Return how the attempts of live tasks ended, as far as they have, and whether an executor did not answer."""
        found: dict[int, AttemptExit] = {}
        unavailable = False
        for task in live:
            if task.state is TaskState.QUEUED:
                continue
            place = self.handle(sql, task)
            with self._lock:
                if place is None or task.task_id not in self._changed:
                    continue
                self._changed.discard(task.task_id)  # before the look: what changes during it is looked at again
            ended, reason = self._poll(task, *place)
            self.trouble(task, reason)
            unavailable = unavailable or bool(reason)
            if ended is not None:
                found[task.task_id] = ended
            elif not reason:
                continue
            with self._lock:
                self._changed.add(task.task_id)  # until somebody forgets the task: what follows may not succeed
        return found, unavailable

    def _poll(self, task: Task, executor: Executor, handle: str) -> tuple[AttemptExit | None, str]:
        """Return how an attempt ended, or why nobody can tell; the task fails when that is for no reason of its place's."""
        try:
            return self._broken.get(handle) or executor.poll(handle), ""
        except ExecutorUnavailable as error:
            return None, error.message
        except Exception as error:
            cause = self.faults.note(task.task_id, error, f"attempt {handle} of task {task.name}")
            return (AttemptExit(None, FAULT, cause), "") if cause else (None, str(error) or type(error).__name__)

    def stop(self, sql: Sql, task: Task, grace: float) -> bool:
        """Begin to stop the current attempt; return False when no executor has accepted it yet."""
        place = self.handle(sql, task)
        if place is None:
            return False
        executor, handle = place
        with self._lock:
            if handle in self._stopping:
                return True
            self._stopping.add(handle)
        self._stoppers[executor.name].submit(self._stop, executor, handle, grace, task)
        return True

    def close(self) -> None:
        """Let go of the threads; attempts run on."""
        self._closing.set()
        for executor in self._used.values():
            executor.close()
        for stoppers in self._stoppers.values():
            stoppers.shutdown(wait=False, cancel_futures=True)

    def _stop(self, executor: Executor, handle: str, grace: float, task: Task) -> None:
        try:
            executor.stop(handle, grace)
        except Exception as error:  # it is asked for again, until that has failed too often
            if not isinstance(error, ExecutorUnavailable):
                cause = self.faults.note(handle, error, f"the stop of attempt {handle} of task {task.name}")
                if cause:
                    self._broken[handle] = AttemptExit(None, FAULT, cause)
            self._closing.wait(RETRY_SECONDS)
            with self._lock:
                self._stopping.discard(handle)
        self._mark(handle)
        self._on_change(str(task.activation_id))

    def _forward(self, executor: Executor) -> None:
        while not self._closing.is_set():
            try:
                handles = executor.changed()
            except Exception as error:  # this thread serves all attempts of a place
                self.faults.note(executor.name, error, f"what changed in the place '{executor.name}'")
                self._closing.wait(RETRY_SECONDS)
                continue
            if not handles:
                return
            for handle in handles:
                activation_id = self._mark(handle)
                if activation_id is not None:
                    self._on_change(activation_id)

    def _mark(self, handle: str) -> str | None:
        with self._lock:
            task_id = self._tasks.get(handle)
            if task_id is None:
                self._early[handle] = None
                if len(self._early) > EARLY_LIMIT:
                    del self._early[next(iter(self._early))]
                return None
            self._changed.add(task_id)
            return str(self._known[task_id][0].activation_id)

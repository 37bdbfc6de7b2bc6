"""What the engine knows of attempts: its wishes, and the facts that lanes have reported since."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fabric_jobs.clock import steady
from fabric_jobs.engine.faults import Faults
from fabric_jobs.engine.lanes import RETRY_SECONDS, Ask, Lane, Look, Start, Stop, Work
from fabric_jobs.engine.output import NOTHING, Output
from fabric_jobs.engine.wakes import Wakes
from fabric_jobs.executors.base import AttemptExit, Executor
from fabric_jobs.records import Task

CLOSE_SECONDS = 1.5  # to wait for a lane whose place does not answer


@dataclass(frozen=True, kw_only=True)
class AttemptEnd:
    """How an attempt ended, and what it left."""

    exit: AttemptExit
    output: Output


@dataclass(kw_only=True)
class _Known:
    work: Work
    task: Task  # as it was when its attempt began
    place: str
    handle: str = ""  # empty: not accepted yet
    again_at: float | None = None  # when to repeat a failed request, by the monotonic clock
    trouble: str = ""  # why it failed
    stopping: float | None = None  # the grace period it was given
    asked: bool = False  # a lane is finding out whether its program runs
    waited: bool = False  # its place was waiting for something when its time was up
    runs: bool = False  # its program was running when its time was up
    ended: AttemptEnd | None = None


class Places:
    """The lanes, made when first needed. Wishes come from the engine's thread, facts from the lanes' threads."""

    def __init__(
        self,
        executors: Mapping[str, Executor],
        wakes: Wakes,
        faults: Faults,
    ) -> None:
        self.executors = executors
        self._wakes = wakes
        self._faults = faults
        self._lanes: dict[str, Lane] = {}
        self._known: dict[int, _Known] = {}  # by task
        self._ended: dict[str, dict[int, _Known]] = {}  # the ended ones, by subject and task
        self._lock = threading.Lock()

    # What the engine wishes

    def start(self, work: Work, place: str) -> None:
        """Hand an attempt over."""
        self._keep(work, place, "")
        self._lane(place).post(Start(work=work))

    def look(self, work: Work, place: str, handle: str) -> None:
        """Ask how an attempt is that has a handle; it counts as accepted once its place says that it runs."""
        self._keep(work, place, "")
        self._lane(place).post(Look(work=work, handle=handle))

    def stop(self, work: Work, place: str, handle: str, grace: float) -> None:
        """Stop an attempt, unless it is already being stopped as quickly."""
        known = self._keep(work, place, handle)
        with self._lock:
            if known.stopping is not None and known.stopping <= grace:
                return
            known.stopping = grace
        self._lane(place).post(Stop(work=work, handle=handle, grace=grace))

    def ask(self, work: Work, place: str, handle: str) -> None:
        """Find out, at an attempt's timeout, whether its program runs or its place still waits for something."""
        known = self._keep(work, place, handle)
        if not known.asked:
            known.asked = True
            self._lane(place).post(Ask(work=work, handle=handle))

    def forget(self, task: Task) -> None:
        """Forget an attempt that is finished."""
        self._faults.forget(task.task_id)
        subject = task.subject
        with self._lock:
            self._known.pop(task.task_id, None)
            ended = self._ended.get(subject, {})
            ended.pop(task.task_id, None)
            if not ended:
                self._ended.pop(subject, None)

    def close(self) -> None:
        """Close the places; attempts keep running."""
        for lane in self._lanes.values():
            lane.close(CLOSE_SECONDS)

    # What the engine wants to know

    def in_hand(self, live: Iterable[Task], now: float) -> frozenset[int]:
        """Return the tasks whose current attempt a lane follows."""
        with self._lock:
            return frozenset(
                task.task_id
                for task in live
                if (known := self._current(task)) and (known.again_at is None or known.again_at > now)
            )

    def again_at(self, live: Iterable[Task]) -> float | None:
        """Return when a failed request for one of these tasks is to be repeated, by the monotonic clock; None: none failed.

        The engine sets its timer for that at each look, since an activation has one timer, and the earliest moment counts.
        """
        with self._lock:
            moments = [known.again_at for task in live if (known := self._current(task)) and known.again_at is not None]
        return min(moments, default=None)

    def running(self, live: Iterable[Task]) -> frozenset[int]:
        """Return the tasks whose program was found running at its timeout."""
        with self._lock:
            return frozenset(task.task_id for task in live if (known := self._current(task)) and known.runs)

    def handle(self, task: Task) -> str:
        """Return the handle of the current attempt; empty when this process does not know that a place accepted it."""
        with self._lock:
            known = self._current(task)
            return known.handle if known is not None else ""

    def exits(self, subject: str) -> dict[tuple[int, int], AttemptExit]:
        """Return the exits of a subject's attempts that are not dealt with yet: {(task_id, attempt): exit}."""
        with self._lock:
            found = list(self._ended.get(subject, {}).values())
        return {(known.task.task_id, known.task.attempt): known.ended.exit for known in found if known.ended}

    def output(self, task: Task) -> Output:
        """Return the output of the ended attempt of a task."""
        with self._lock:
            known = self._current(task)
            return known.ended.output if known is not None and known.ended is not None else NOTHING

    def troubles(self, activation_id: str) -> dict[str, str]:
        """Return why tasks of an activation are stuck, by node: their places do not answer."""
        with self._lock:
            found = [known for known in self._known.values() if known.trouble]
        return {known.task.node: known.trouble for known in found if known.task.activation_id == activation_id}

    def trouble(self, task: Task) -> str:
        """Return why the place of a task does not answer; empty when it does."""
        with self._lock:
            known = self._current(task)
            return known.trouble if known is not None else ""

    # What lanes say

    def accepted(self, task: Task, handle: str) -> None:
        """See `lanes.Hearing`."""
        with self._lock:
            known = self._current(task)
            if known is None:
                return
            is_new = not known.handle
            known.handle, known.trouble, known.again_at = handle, "", None
        if is_new:
            known.work.note(handle)

    def ended(self, task: Task, ended: AttemptExit, output: Output = NOTHING) -> None:
        """See `lanes.Hearing`."""
        with self._lock:
            known = self._current(task)
            if known is None or known.ended is not None:
                return
            known.ended, known.trouble, known.again_at = AttemptEnd(exit=ended, output=output), "", None
            self._ended.setdefault(task.subject, {})[task.task_id] = known
        self._wakes.put(task.subject)

    def answered(self, task: Task, *, waits: bool) -> None:
        """See `lanes.Hearing`."""
        with self._lock:
            known = self._current(task)
            if known is None:
                return
            is_late = waits or known.waited
            known.asked, known.waited, known.runs = False, known.waited or waits, not waits
        if is_late:
            known.work.postpone(waits)
        self._wakes.put(task.subject)

    def in_trouble(self, task: Task, reason: str) -> None:
        """See `lanes.Hearing`."""
        now = steady()
        with self._lock:
            known = self._current(task)
            if known is None:
                return
            if known.again_at is None or known.again_at <= now:  # else it is asked again then
                known.again_at = now + RETRY_SECONDS
            known.trouble, known.stopping, known.asked, moment = reason, None, False, known.again_at
        self._wakes.put_at(task.subject, moment)

    def _current(self, task: Task) -> _Known | None:
        known = self._known.get(task.task_id)
        return known if known is not None and known.task.attempt == task.attempt else None

    def _keep(self, work: Work, place: str, handle: str) -> _Known:
        with self._lock:
            known = self._current(work.task)
            if known is None:
                known = self._known[work.task.task_id] = _Known(work=work, task=work.task, place=place)
            known.handle = known.handle or handle
            known.again_at = None
            return known

    def _lane(self, place: str) -> Lane:
        if place not in self._lanes:
            self._lanes[place] = Lane(place, self.executors, self, self._faults)
        return self._lanes[place]

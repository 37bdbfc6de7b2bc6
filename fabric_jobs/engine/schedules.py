"""Fires schedules: looks at the wall clock, decides, and starts what is due (docs/howto/schedules.md).

Everything that becomes of a time is one transaction: the schedule moves on, the occurrence is written, the activation is created.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from fabric_jobs.clock import steady
from fabric_jobs.engine.engine import Engine
from fabric_jobs.engine.invoke import Invocation
from fabric_jobs.errors import AlreadyExists, FabricJobsError, PlaceUnavailable
from fabric_jobs.schedules.decide import QUEUED, SKIPPED, STARTED, Decision, Unfinished, after, decide, decide_one
from fabric_jobs.schedules.schedule import Occurrence, Schedule, iso
from fabric_jobs.settings import Settings
from fabric_jobs.store import Effects, Store, Tx, activations, schedules
from fabric_jobs.store.sql import Sql

LOOK_SECONDS = 30.0  # at most, between two looks at the wall clock: somebody may set it
AGAIN_SECONDS = 1.0  # after an error of the disk
TRIES = 5  # of one look, when somebody changes the schedule meanwhile

Start = Callable[[Tx], str]

log = logging.getLogger(__name__)


class Firing:
    """Decides about schedules and carries it out. Several threads may call it."""

    def __init__(self, store: Store, engine: Engine, settings: Settings, check: Callable[[Schedule], None]) -> None:
        """`check` brings the definitions up to date, and raises an error for a schedule whose files are broken."""
        self._store = store
        self._engine = engine
        self._settings = settings
        self._check = check

    def fire(self, schedule_id: int, now: float) -> list[Occurrence]:
        """Handle the times of a schedule that are due, in one transaction; return what became of them."""
        for _ in range(TRIES):
            sql = self._store.read
            schedule = schedules.by_id(sql, schedule_id)
            if schedule is None:
                return []
            decisions = decide(schedule, running_of(sql, schedule), now)
            moved = after(schedule, decisions, now)
            if not decisions and moved == (schedule.last_at, schedule.next_at):
                return []
            ready = self._prepare(schedule, decisions)
            done = self._store.write(partial(self._fire, schedule, decisions, ready, now)).result()
            if done is not None:
                return done
        return []

    def trigger(self, schedule: Schedule, at: float, now: float) -> Occurrence:
        """Start a run for `at`, as `overlap` allows; return what became of it. Idempotent."""
        sql = self._store.read
        found = schedules.occurrence(sql, schedule.schedule_id, at)
        if found is not None and found.origin == "trigger":
            return found
        decision = decide_one(schedule, running_of(sql, schedule), at)
        ready = self._prepare(schedule, [decision])
        return self._store.write(lambda tx: self._carry_out(tx, schedule, decision, ready, ("trigger", now))).result()

    def backfill(self, schedule: Schedule, times: Sequence[float], now: float) -> list[Occurrence]:
        """Start a run for each of these times that has none, whatever `overlap` says; each is one transaction."""
        found = []
        for at in times:
            before = schedules.occurrence(self._store.read, schedule.schedule_id, at)
            if before is not None and before.outcome == STARTED:
                found.append(before)
                continue
            decision = Decision(at=at, outcome=STARTED)
            ready = self._prepare(schedule, [decision])
            put = partial(self._carry_out, schedule=schedule, decision=decision, ready=ready, origin=("backfill", now))
            found.append(self._store.write(put).result())
        return found

    def _prepare(self, schedule: Schedule, decisions: Sequence[Decision]) -> dict[float, Start | str]:
        """Return for each time to start what starts it, or why it cannot be started."""
        starts = [decision.at for decision in decisions if decision.outcome == STARTED]
        if not starts:
            return {}
        try:
            self._check(schedule)
            payload = schedules.payload(self._store.read, schedule.schedule_id)
            return {at: self._engine.prepared(self._invocation(schedule, at, payload)) for at in starts}
        except PlaceUnavailable:
            raise  # a disk that is full now; looked at again
        except FabricJobsError as error:
            return dict.fromkeys(starts, error.message)

    def _invocation(self, schedule: Schedule, at: float, payload: bytes) -> Invocation:
        return Invocation(
            project_id=schedule.project_id,
            kind=schedule.kind,
            name=schedule.target,
            entry=schedule.entry,
            payload=payload,
            activation_id=schedule.run_id(at),
            properties=schedule.properties,
            session_id=schedule.session_id,
            correlation_id=schedule.correlation_id,
            username=schedule.username,
            executor=schedule.executor or self._settings.executor,
            is_placed=bool(schedule.executor),
        )

    def _fire(
        self, schedule: Schedule, decisions: list[Decision], ready: Mapping[float, Start | str], now: float, tx: Tx
    ) -> list[Occurrence] | None:
        """Carry out decisions; None if what they depend on has changed since."""
        if decide(schedule, running_of(tx, schedule), now) != decisions:
            return None
        if not schedules.move(tx, schedule, *after(schedule, decisions, now)):
            return None
        return [self._carry_out(tx, schedule, decision, ready, ("time", now)) for decision in decisions]

    def _carry_out(
        self,
        tx: Tx,
        schedule: Schedule,
        decision: Decision,
        ready: Mapping[float, Start | str],
        origin: tuple[str, float],
    ) -> Occurrence:
        """Write what becomes of one time, and start its activation; one that was started before stays as it is."""
        before = schedules.occurrence(tx, schedule.schedule_id, decision.at)
        if before is not None and before.outcome == STARTED:
            return before
        made = Occurrence(
            schedule_id=schedule.schedule_id,
            at=decision.at,
            outcome=decision.outcome,
            reason=decision.reason,
            origin=before.origin if before is not None and before.outcome == QUEUED else origin[0],
            activation_id=None,
            decided_at=origin[1],
        )
        if decision.outcome == STARTED:
            made = self._start(tx, schedule, decision, made, ready[decision.at])
        schedules.put_occurrence(tx, made)
        return made

    def _start(
        self, tx: Tx, schedule: Schedule, decision: Decision, made: Occurrence, start: Start | str
    ) -> Occurrence:
        if isinstance(start, str):
            return replace(made, outcome=SKIPPED, reason=start)
        for activation_id in decision.cancels:
            cause = f"schedule {schedule.name} starts its run for {iso(decision.at)}, and its overlap is cancel"
            activations.ask_cancel(tx, activation_id, schedule.project_id, cause)
        try:
            return replace(made, activation_id=start(tx))
        except AlreadyExists as error:
            return replace(made, outcome=SKIPPED, reason=error.message)


class Clock:
    """One thread that fires the schedules of an owner."""

    def __init__(self, store: Store, firing: Firing, clock: Callable[[], float] = time.time) -> None:
        """`clock` returns the time of day, in seconds since 1970."""
        self._store = store
        self._firing = firing
        self._clock = clock
        self._event = threading.Event()
        self._closing = False
        self._queued = False  # a time waits for the end of a run
        self._thread = threading.Thread(target=self._run, name="schedules", daemon=True)
        store.listen(self._committed)

    def start(self) -> None:
        """Begin to fire."""
        self._thread.start()

    def wake(self) -> None:
        """Look at the schedules now: one was saved, paused, resumed or deleted."""
        self._event.set()

    def close(self) -> None:
        """End the thread. What is due later fires after the next start, as `catchup` says."""
        self._closing = True
        self._event.set()
        if self._thread.is_alive():
            self._thread.join()

    def _committed(self, effects: Effects) -> None:
        if effects.over and self._queued:
            self._event.set()

    def _run(self) -> None:
        restarted: set[int] = set()
        while not self._closing:
            self._event.clear()
            self._event.wait(self._look(restarted))

    def _look(self, restarted: set[int]) -> float | None:
        """Fire what is due; return the seconds until the next look, None if there is nothing to wait for."""
        began = steady()
        try:
            active = schedules.active(self._store.read)
            now = self._clock()
            queued, broken = schedules.with_queued(self._store.read), set()
            for schedule in active:
                if self._closing:
                    return None
                due_at = schedule.due_at
                waits = schedule.schedule_id in queued or schedule.schedule_id not in restarted
                if waits or (due_at is not None and due_at <= now):
                    broken |= set() if self._fire(schedule, now) else {schedule.schedule_id}
                    restarted.add(schedule.schedule_id)
            left = [one for one in schedules.active(self._store.read) if one.schedule_id not in broken]
            upcoming = [one.due_at for one in left if one.due_at is not None]
            if self._may_start({one.schedule_id for one in left}):
                return 0.0
        except PlaceUnavailable as error:
            log.warning("schedules are looked at again: %s", error.message)
            return AGAIN_SECONDS
        if not (upcoming or broken):
            return None
        return max(0.0, min(LOOK_SECONDS, min(upcoming, default=now + LOOK_SECONDS) - now - (steady() - began)))

    def _may_start(self, schedule_ids: set[int]) -> bool:
        """Tell whether the run that a queued time waits for has ended already; from now on, its end wakes the thread."""
        queued = schedules.with_queued(self._store.read)
        self._queued = bool(queued)  # before the look at the runs, so that no end is missed
        return any(not schedules.running(self._store.read, schedule_id) for schedule_id in queued & schedule_ids)

    def _fire(self, schedule: Schedule, now: float) -> bool:
        """Fire one schedule; return False if that failed. An error must not stop the others."""
        try:
            done = self._firing.fire(schedule.schedule_id, now)
        except PlaceUnavailable:
            raise
        except Exception:  # such as a time zone that this machine does not have any more
            log.exception("schedule %s of project %s cannot fire", schedule.name, schedule.project_id)
            return False
        for occurrence in done:
            told = occurrence.activation_id or occurrence.reason
            log.info("schedule %s, %s: %s: %s", schedule.name, iso(occurrence.at), occurrence.outcome, told)
        return True


def running_of(sql: Sql, schedule: Schedule) -> Unfinished:
    """Return what earlier times of a schedule have left."""
    return Unfinished(
        activations=schedules.running(sql, schedule.schedule_id),
        queued_at=schedules.queued_at(sql, schedule.schedule_id),
    )

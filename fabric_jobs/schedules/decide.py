"""What a schedule does now: a pure function of its stored state and the time (docs/howto/schedules.md)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from fabric_jobs.durations import spelled
from fabric_jobs.schedules.schedule import Schedule, iso

STARTED, SKIPPED, MISSED, QUEUED = "started", "skipped", "missed", "queued"
ON_TIME_SECONDS = 60.0  # a run that starts this late at most was not missed
MOST = 100  # times that one look handles; earlier ones are missed


@dataclass(frozen=True, kw_only=True, slots=True)
class Unfinished:
    """What earlier times of a schedule have left."""

    activations: tuple[str, ...] = ()  # that have not ended
    queued_at: float | None = None  # the time that waits for their end


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """What becomes of one time."""

    at: float
    outcome: str  # started | skipped | missed | queued
    reason: str = ""
    cancels: tuple[str, ...] = ()  # activations to cancel


@dataclass(slots=True)
class _State:
    """What is running, while one decision follows another."""

    activations: list[str] = field(default_factory=list)
    queued_at: float | None = None


def decide(schedule: Schedule, running: Unfinished, now: float) -> list[Decision]:
    """Return what becomes of the queued time and of each time that is due at `now`; nothing while it is paused."""
    if schedule.paused:
        return []
    state = _State([*running.activations], running.queued_at)
    found = []
    if state.queued_at is not None and not state.activations:
        at, state.queued_at = state.queued_at, None
        found.append(_start(schedule, state, at))
    for at, reason in _due(schedule, now - schedule.delay):
        missed = Decision(at=at, outcome=MISSED, reason=reason)
        found.append(missed if reason else _run(schedule, state, at))
    return found


def decide_one(schedule: Schedule, running: Unfinished, at: float) -> Decision:
    """Return what becomes of a time that somebody triggers."""
    return _run(schedule, _State([*running.activations], running.queued_at), at)


def after(schedule: Schedule, decisions: list[Decision], now: float) -> tuple[float, float | None]:
    """Return `last_at` and `next_at` of a schedule after its decisions, or at the start of an owner if there are none."""
    last_at = max([schedule.last_at, *(decision.at for decision in decisions)])
    return last_at, schedule.times.after(max(last_at, now - schedule.delay) if decisions else last_at)


def _due(schedule: Schedule, moment: float) -> Iterator[tuple[float, str]]:
    """Yield each time that is due, oldest first, with why it is missed; an empty text means that it runs."""
    if schedule.next_at is None or schedule.next_at > moment:
        return
    within = max(schedule.catchup_seconds, ON_TIME_SECONDS)
    since = max(schedule.last_at, moment - within)
    times = schedule.times.newest(since, moment, MOST)
    if schedule.next_at < (times[0] if times else moment):
        yield schedule.next_at, _why_too_old(schedule, times, within)
    for at in times:
        yield at, _why_missed(schedule, at, times[-1], moment)


def _why_missed(schedule: Schedule, at: float, newest: float, moment: float) -> str:
    if schedule.catchup == "none" and moment - at > ON_TIME_SECONDS:
        return "nothing fired schedules at that time, and catchup is none"
    if schedule.catchup != "all" and at < newest:
        return f"nothing fired schedules at that time, and {iso(newest)} is newer"
    return ""


def _why_too_old(schedule: Schedule, times: list[float], within: float) -> str:
    until = f" before {iso(times[0])}" if times else ""
    limit = f"the newest {MOST} times" if len(times) == MOST else f"the last {spelled(within)}"
    return f"nothing fired schedules at that time; it and all later ones{until} are outside {limit}"


def _run(schedule: Schedule, state: _State, at: float) -> Decision:
    """Return what becomes of a time that should run, and note it in the state."""
    if not state.activations or schedule.overlap in ("parallel", "cancel"):
        return _start(schedule, state, at)
    busy = f"{state.activations[-1]} has not ended"
    if schedule.overlap == "skip":
        return Decision(at=at, outcome=SKIPPED, reason=busy)
    if state.queued_at is not None:
        return Decision(at=at, outcome=SKIPPED, reason=f"{busy}, and {iso(state.queued_at)} is queued already")
    state.queued_at = at
    return Decision(at=at, outcome=QUEUED, reason=busy)


def _start(schedule: Schedule, state: _State, at: float) -> Decision:
    cancels = tuple(state.activations) if schedule.overlap == "cancel" else ()
    if cancels:
        state.activations.clear()
    state.activations.append(schedule.run_id(at))
    return Decision(at=at, outcome=STARTED, cancels=cancels)

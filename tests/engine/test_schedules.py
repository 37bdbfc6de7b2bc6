"""Firing schedules: one transaction for each time, whoever fires, and whatever happens in between."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from fabric_jobs.engine.schedules import Clock, Firing
from fabric_jobs.errors import InvalidInput
from fabric_jobs.schedules.schedule import Occurrence, Schedule, iso
from fabric_jobs.store import activations, schedules
from fabric_jobs.store.activations import RunFilter
from fabric_jobs.store.schedules import NewSchedule
from tests.engine.bench import SECONDS, Bench
from tests.factories import PROJECT, save_skill, skill_document

HOUR = 3600.0
START = 1_769_817_600.0  # 2026-01-31T00:00:00Z


def save(bench: Bench, **changes: Any) -> Schedule:
    """Save a skill and a schedule that is due at every full hour after START."""
    save_skill(bench.store, skill_document("a"))
    values: dict[str, Any] = {
        "project_id": PROJECT,
        "name": "nightly",
        "kind": "skill",
        "target": "a",
        "entry": "in",
        "cron": "0 * * * *",
        "timezone": "UTC",
        "overlap": "skip",
        "catchup": "latest",
        "catchup_seconds": 86_400.0,
        "jitter_seconds": 0.0,
        "payload": b'{"n": 1}',
        "properties": {"color": "red"},
        "executor": "fake",
    }
    new = NewSchedule(**{**values, **changes})
    bench.store.write(lambda tx: schedules.create(tx, new, next_at=START + HOUR, now=START)).result(SECONDS)
    found = schedules.find(bench.store.read, PROJECT, new.name)
    assert found is not None
    return found


def firing(bench: Bench, check: Any = lambda schedule: None) -> Firing:
    return Firing(bench.store, bench.engine, bench.settings, check)


def told(bench: Bench, one: Schedule) -> list[tuple[float, str]]:
    """Return what became of the times, oldest first, in hours after START."""
    found = schedules.occurrences(bench.store.read, one.schedule_id, limit=1000)
    return [((item.at - START) / HOUR, item.outcome) for item in reversed(found)]


def runs(bench: Bench) -> list[str]:
    found = activations.listed(bench.store.read, RunFilter(project_id=PROJECT, limit=1000))
    return [item.activation_id for item in found]


def now(bench: Bench, one: Schedule) -> Schedule:
    found = schedules.by_id(bench.store.read, one.schedule_id)
    assert found is not None
    return found


def test_a_time_that_is_due_runs_and_knows_its_time(bench: Bench) -> None:
    one = save(bench)
    assert firing(bench).fire(one.schedule_id, START + HOUR - 1) == []
    (made,) = firing(bench).fire(one.schedule_id, START + HOUR + 2)
    assert made == Occurrence(
        schedule_id=one.schedule_id,
        at=START + HOUR,
        outcome="started",
        reason="",
        origin="time",
        activation_id=one.run_id(START + HOUR),
        decided_at=START + HOUR + 2,
    )
    assert now(bench, one).next_at == START + 2 * HOUR
    task = bench.finish("a.in")
    spec = bench.place.specs[task.attempt_name]
    environment = spec.processes[0].environment
    assert environment["FABRIC_JOBS_SCHEDULED_AT"] == "2026-01-31T01:00:00Z"
    assert '"scheduledAt": "2026-01-31T01:00:00Z"' in environment["CORTEX_PAYLOAD"]
    assert '"payload": {"n": 1}' in environment["CORTEX_PAYLOAD"]
    assert made.activation_id is not None
    ended = bench.ended(made.activation_id)
    assert ended.properties == {"color": "red"}
    assert firing(bench).fire(one.schedule_id, START + HOUR + 3) == []


def test_other_runs_know_no_time(bench: Bench) -> None:
    bench.skill("a")
    task = bench.finish("a.in")
    environment = bench.place.specs[task.attempt_name].processes[0].environment
    assert "FABRIC_JOBS_SCHEDULED_AT" not in environment
    assert "scheduledAt" not in environment["CORTEX_PAYLOAD"]


def test_two_who_fire_at_once_start_one_run(bench: Bench) -> None:
    one = save(bench)
    gate = threading.Barrier(4)

    def fire(_: int) -> list[Occurrence]:
        mine = firing(bench)
        gate.wait(SECONDS)
        return mine.fire(one.schedule_id, START + HOUR + 2)

    with ThreadPoolExecutor(4) as pool:
        found = [item for made in pool.map(fire, range(4)) for item in made]
    assert [item.outcome for item in found] == ["started"]
    assert runs(bench) == [one.run_id(START + HOUR)]


def test_a_time_that_overlaps_is_skipped_and_says_why(bench: Bench) -> None:
    one = save(bench)
    fires = firing(bench)
    fires.fire(one.schedule_id, START + HOUR)
    (made,) = fires.fire(one.schedule_id, START + 2 * HOUR)
    assert (made.outcome, made.reason) == ("skipped", f"{one.run_id(START + HOUR)} has not ended")
    bench.finish("a.in")
    bench.ended(one.run_id(START + HOUR))
    fires.fire(one.schedule_id, START + 3 * HOUR)
    assert told(bench, one) == [(1, "started"), (2, "skipped"), (3, "started")]


def test_a_queued_time_starts_at_the_end_of_the_run_before_it(bench: Bench) -> None:
    one = save(bench, overlap="queue")
    fires = firing(bench)
    for hour in (1, 2, 3):
        fires.fire(one.schedule_id, START + hour * HOUR)
    assert told(bench, one) == [(1, "started"), (2, "queued"), (3, "skipped")]
    assert fires.fire(one.schedule_id, START + 3 * HOUR + 1) == []
    bench.finish("a.in")
    bench.ended(one.run_id(START + HOUR))
    (made,) = fires.fire(one.schedule_id, START + 3 * HOUR + 2)
    assert (made.at, made.outcome, made.origin) == (START + 2 * HOUR, "started", "time")
    assert told(bench, one) == [(1, "started"), (2, "started"), (3, "skipped")]
    assert now(bench, one).last_at == START + 3 * HOUR


def test_a_newer_time_cancels_the_run_before_it(bench: Bench) -> None:
    one = save(bench, overlap="cancel")
    fires = firing(bench)
    fires.fire(one.schedule_id, START + HOUR)
    bench.running("a.in")
    fires.fire(one.schedule_id, START + 2 * HOUR)
    ended = bench.ended(one.run_id(START + HOUR))
    assert ended.state == "CANCELLED"
    assert "starts its run for 2026-01-31T02:00:00Z" in ended.cause
    assert not bench.activation(one.run_id(START + 2 * HOUR)).ended


@pytest.mark.parametrize("problem", ["target", "entry", "file"])
def test_a_run_that_cannot_start_is_skipped_with_the_reason_and_the_next_one_comes(bench: Bench, problem: str) -> None:
    def check(schedule: Schedule) -> None:
        if problem == "file":
            raise InvalidInput("skills/a/skill.yaml:3:1: error: no")

    one = save(bench, **({problem: "gone"} if problem != "file" else {}))
    fires = firing(bench, check)
    (made,) = fires.fire(one.schedule_id, START + HOUR)
    assert made.outcome == "skipped"
    assert ("skill.yaml:3:1" if problem == "file" else "gone") in made.reason
    assert runs(bench) == []
    assert now(bench, one).next_at == START + 2 * HOUR


def test_an_id_that_somebody_else_has_taken_stops_nothing(bench: Bench) -> None:
    one = save(bench)
    save_skill(bench.store, skill_document("b"))
    bench.invoke("skill", "b", activation_id=one.run_id(START + HOUR))
    (made,) = firing(bench).fire(one.schedule_id, START + HOUR)
    assert made.outcome == "skipped"
    assert one.run_id(START + HOUR) in made.reason
    assert now(bench, one).next_at == START + 2 * HOUR


def test_a_trigger_starts_once_and_obeys_overlap(bench: Bench) -> None:
    one = save(bench)
    fires, at = firing(bench), START + 60.25
    first = fires.trigger(one, at, START + 61)
    assert (first.outcome, first.origin, first.activation_id) == ("started", "trigger", one.run_id(at))
    assert fires.trigger(one, at, START + 99) == first
    assert fires.trigger(one, at + 1, START + 99).outcome == "skipped"
    assert runs(bench) == [one.run_id(at)]
    assert now(bench, one) == one
    assert (
        '"scheduledAt": "2026-01-31T00:01:00.250Z"'
        in (bench.place.specs[bench.running("a.in").attempt_name].processes[0].environment["CORTEX_PAYLOAD"])
    )


def test_a_backfill_starts_each_time_once(bench: Bench) -> None:
    one = save(bench)
    fires, times = firing(bench), [START - hour * HOUR for hour in (3, 2, 1)]
    assert [item.outcome for item in fires.backfill(one, times[:2], START)] == ["started", "started"]
    found = fires.backfill(one, times, START + 5)
    assert [item.origin for item in found] == ["backfill"] * 3
    assert [item.decided_at for item in found] == [START, START, START + 5]
    assert sorted(runs(bench)) == sorted(one.run_id(at) for at in times)


def test_a_backfill_runs_what_was_missed_and_the_clock_does_not_repeat_it(bench: Bench) -> None:
    one = save(bench)
    fires = firing(bench)
    fires.fire(one.schedule_id, START + 2 * HOUR)
    assert told(bench, one) == [(1, "missed"), (2, "started")]
    fires.backfill(one, [START + HOUR, START + 3 * HOUR], START + 3 * HOUR)
    assert told(bench, one) == [(1, "started"), (2, "started"), (3, "started")]
    assert [item.origin for item in fires.fire(one.schedule_id, START + 3 * HOUR)] == ["backfill"]
    assert len(runs(bench)) == 3
    assert now(bench, one).next_at == START + 4 * HOUR


def test_a_paused_schedule_does_not_fire_and_what_passed_meanwhile_does_not_run(bench: Bench) -> None:
    one = save(bench)
    fires = firing(bench)
    bench.store.write(lambda tx: schedules.pause(tx, one, "holidays", START + 1)).result(SECONDS)
    assert fires.fire(one.schedule_id, START + 5 * HOUR) == []
    paused = now(bench, one)
    assert (paused.paused, paused.note, paused.due_at) == (True, "holidays", None)
    at = START + 5 * HOUR + 1
    bench.store.write(lambda tx: schedules.resume(tx, one, at)).result(SECONDS)
    assert fires.fire(one.schedule_id, START + 6 * HOUR - 1) == []
    fires.fire(one.schedule_id, START + 6 * HOUR)
    assert told(bench, one) == [(6, "started")]


def test_a_schedule_that_changes_while_it_fires_is_decided_anew(bench: Bench) -> None:
    """The pause comes between the decision and the transaction."""
    one = save(bench)

    def check(schedule: Schedule) -> None:
        bench.store.write(lambda tx: schedules.pause(tx, one, "", START + 1)).result(SECONDS)

    assert firing(bench, check).fire(one.schedule_id, START + HOUR) == []
    assert told(bench, one) == []
    assert runs(bench) == []


def test_a_failed_transaction_leaves_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    one = save(bench)

    def fail(*_: Any) -> bool:
        raise InvalidInput("in the middle")

    with monkeypatch.context() as patched:
        patched.setattr(schedules, "put_occurrence", fail)  # the activation is created by then
        with pytest.raises(InvalidInput):
            firing(bench).fire(one.schedule_id, START + HOUR)
    assert now(bench, one) == one
    assert runs(bench) == []
    assert told(bench, one) == []
    firing(bench).fire(one.schedule_id, START + HOUR)
    assert told(bench, one) == [(1, "started")]


class Wall:
    """A wall clock that the test sets."""

    def __init__(self, at: float) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def wall() -> Wall:
    return Wall(START)


def test_the_clock_fires_what_is_due_and_catches_up_at_its_start(bench: Bench, wall: Wall) -> None:
    one = save(bench)
    wall.at = START + 3 * HOUR + 5
    clock = Clock(bench.store, firing(bench), wall)
    clock.start()
    bench.until(lambda: told(bench, one))
    assert told(bench, one) == [(1, "missed"), (2, "missed"), (3, "started")]
    wall.at = START + 4 * HOUR
    bench.finish("a.in")
    bench.ended(one.run_id(START + 3 * HOUR))
    clock.wake()  # as after 30 seconds, and whenever a schedule is changed
    bench.until(lambda: (4, "started") in told(bench, one))
    clock.close()


def test_the_end_of_a_run_wakes_the_clock_for_a_queued_time(bench: Bench, wall: Wall) -> None:
    one = save(bench, overlap="queue")
    fires = firing(bench)
    fires.fire(one.schedule_id, START + HOUR)
    fires.fire(one.schedule_id, START + 2 * HOUR)
    wall.at = START + 2 * HOUR + 1
    clock = Clock(bench.store, fires, wall)
    clock.start()
    bench.finish("a.in")
    bench.until(lambda: told(bench, one) == [(1, "started"), (2, "started")])
    clock.close()


def test_a_run_that_ends_while_the_next_time_is_queued_is_not_missed(
    bench: Bench, wall: Wall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end comes after the clock has queued a time, and before it waits."""
    one = save(bench, overlap="queue")
    fires = firing(bench)
    fires.fire(one.schedule_id, START + HOUR)
    wall.at = START + 2 * HOUR
    look = schedules.with_queued

    def end_then_look(sql: Any) -> frozenset[int]:
        if told(bench, one)[-1] == (2, "queued") and not bench.activation(one.run_id(START + HOUR)).ended:
            bench.finish("a.in")
            bench.ended(one.run_id(START + HOUR))
        return look(sql)

    monkeypatch.setattr(schedules, "with_queued", end_then_look)
    clock = Clock(bench.store, fires, wall)
    clock.start()
    bench.until(lambda: told(bench, one) == [(1, "started"), (2, "started")])
    clock.close()


def test_a_schedule_that_cannot_fire_does_not_stop_the_others(bench: Bench, wall: Wall) -> None:
    broken = save(bench, name="broken", timezone="Mars/Olympus")
    one = save(bench)
    wall.at = START + HOUR
    clock = Clock(bench.store, firing(bench), wall)
    clock.start()
    bench.until(lambda: told(bench, one))
    clock.close()
    assert told(bench, one) == [(1, "started")]
    assert told(bench, broken) == []


def test_the_next_time_is_computed_anew_at_each_start(bench: Bench, wall: Wall) -> None:
    """The rules of a time zone may have changed since the last owner."""
    one = save(bench)
    wrong = replace(one, next_at=START + 30.0)
    bench.store.write(lambda tx: schedules.move(tx, one, one.last_at, wrong.next_at)).result(SECONDS)
    wall.at = START + 1
    clock = Clock(bench.store, firing(bench), wall)
    clock.start()
    bench.until(lambda: now(bench, one).next_at == START + HOUR)
    clock.close()
    assert told(bench, one) == []
    assert iso(START + HOUR) == "2026-01-31T01:00:00Z"


def test_old_occurrences_go(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedules, "KEPT", 5)
    one = save(bench, catchup="all", overlap="parallel")
    firing(bench).fire(one.schedule_id, START + 9 * HOUR)
    assert len(told(bench, one)) <= 6
    assert told(bench, one)[-1] == (9, "started")
    assert len(runs(bench)) == 9

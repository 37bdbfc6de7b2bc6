"""What a schedule does: a pure function of its state and the time, whoever asks and however late."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric_jobs.schedules.cron import Cron
from fabric_jobs.schedules.decide import MOST, Decision, Unfinished, after, decide, decide_one
from fabric_jobs.schedules.schedule import Schedule, is_name, iso
from tests.factories import schedule

HOUR, DAY = 3600.0, 86_400.0
NOBODY = Unfinished()


def due(count: int, **changes: Any) -> tuple[Schedule, float]:
    """Return a schedule of which `count` hourly times are due, and a moment shortly after the last."""
    return schedule(last_at=0.0, next_at=HOUR, **changes), count * HOUR + 1


def outcomes(decisions: list[Decision]) -> list[tuple[float, str]]:
    return [(decision.at / HOUR, decision.outcome) for decision in decisions]


def moved(before: Schedule, decisions: list[Decision], now: float) -> Schedule:
    last_at, next_at = after(before, decisions, now)
    return replace(before, last_at=last_at, next_at=next_at)


def test_nothing_is_due_before_its_time() -> None:
    assert decide(schedule(next_at=HOUR), NOBODY, HOUR - 0.001) == []


def test_a_time_that_is_due_starts() -> None:
    one, now = due(1)
    assert decide(one, NOBODY, HOUR) == [Decision(at=HOUR, outcome="started")]
    assert after(one, decide(one, NOBODY, now), now) == (HOUR, 2 * HOUR)


def test_a_pause_stops_everything_even_a_queued_time() -> None:
    one, now = due(3, paused=True)
    assert decide(one, Unfinished(queued_at=HOUR), now) == []


def test_the_newest_missed_time_runs_once() -> None:
    one, now = due(3)
    found = decide(one, NOBODY, now)
    assert outcomes(found) == [(1, "missed"), (2, "missed"), (3, "started")]
    assert "1970-01-01T03:00:00Z is newer" in found[0].reason
    assert after(one, found, now) == (3 * HOUR, 4 * HOUR)


def test_without_catchup_only_what_is_on_time_runs() -> None:
    one, now = due(2, catchup="none")
    assert outcomes(decide(one, NOBODY, now)) == [(1, "missed"), (2, "started")]
    assert outcomes(decide(one, NOBODY, now + 60)) == [(1, "missed"), (2, "missed")]


def test_a_catchup_of_all_runs_each_time() -> None:
    one, now = due(3, catchup="all", overlap="parallel")
    assert outcomes(decide(one, NOBODY, now)) == [(1, "started"), (2, "started"), (3, "started")]


def test_what_is_older_than_the_catchup_is_told_and_missed() -> None:
    one, now = due(10, catchup_seconds=2 * HOUR)
    found = decide(one, NOBODY, now)
    assert outcomes(found) == [(1, "missed"), (9, "missed"), (10, "started")]
    assert "all later ones before 1970-01-01T09:00:00Z are outside the last 2h" in found[0].reason


def test_at_most_the_newest_hundred_run() -> None:
    one, now = due(250, catchup="all", catchup_seconds=30 * DAY, overlap="parallel")
    found = decide(one, NOBODY, now)
    assert [decision.outcome for decision in found] == ["missed", *["started"] * MOST]
    assert found[-1].at == 250 * HOUR
    assert f"outside the newest {MOST} times" in found[0].reason


def test_a_year_without_an_owner_costs_little() -> None:
    one = schedule(cron="* * * * *", last_at=0.0, next_at=60.0)
    found = decide(one, NOBODY, 365 * DAY)
    assert found[-1] == Decision(at=365 * DAY, outcome="started")
    assert len(found) == MOST + 1


def test_overlap() -> None:
    busy = Unfinished(activations=("x",))

    def one(overlap: str, running: Unfinished = busy) -> Decision:
        changed, now = due(1, overlap=overlap)
        (found,) = decide(changed, running, now)
        return found

    assert one("skip") == Decision(at=HOUR, outcome="skipped", reason="x has not ended")
    assert one("parallel") == Decision(at=HOUR, outcome="started")
    assert one("cancel") == Decision(at=HOUR, outcome="started", cancels=("x",))
    assert one("queue") == Decision(at=HOUR, outcome="queued", reason="x has not ended")
    full = one("queue", replace(busy, queued_at=0.0))
    assert full.outcome == "skipped"
    assert "1970-01-01T00:00:00Z is queued already" in full.reason
    assert decide_one(due(1)[0], busy, 5.0).outcome == "skipped"
    assert decide_one(due(1)[0], NOBODY, 5.0).outcome == "started"


def test_a_queued_time_starts_when_nothing_runs_and_counts_as_running() -> None:
    one, now = due(1, overlap="queue")
    waiting = Unfinished(queued_at=0.0)
    assert outcomes(decide(one, waiting, 1.0)) == [(0, "started")]
    assert outcomes(decide(one, waiting, now)) == [(0, "started"), (1, "queued")]


def test_several_that_cancel_each_other() -> None:
    one, now = due(2, overlap="cancel", catchup="all")
    first, second = decide(one, Unfinished(activations=("x",)), now)
    assert first.cancels == ("x",)
    assert second.cancels == (one.run_id(HOUR),)


def test_a_jitter_delays_by_a_share_that_depends_on_the_name_alone() -> None:
    delays = {schedule(name=f"n{n}", jitter_seconds=600.0).delay for n in range(50)}
    assert len(delays) > 30
    assert all(0 <= delay < 600 and delay.is_integer() for delay in delays)
    one = schedule(jitter_seconds=600.0)
    assert one.delay == schedule(jitter_seconds=600.0, last_at=5.0).delay > 0
    assert one.due_at == HOUR + one.delay
    assert decide(one, NOBODY, HOUR + one.delay - 0.001) == []
    assert outcomes(decide(one, NOBODY, HOUR + one.delay)) == [(1, "started")]


def test_a_clock_that_is_set_back_repeats_nothing() -> None:
    one, now = due(5)
    found = decide(one, NOBODY, now)
    assert found[-1].at == 5 * HOUR
    later = moved(one, found, now)
    assert decide(later, NOBODY, 2 * HOUR) == []
    assert after(later, [], 2 * HOUR) == (5 * HOUR, 6 * HOUR)
    assert outcomes(decide(later, NOBODY, 6 * HOUR)) == [(6, "started")]


@given(
    st.sampled_from(("*/10 * * * *", "30 * * * *", "0 */12 * * *", "30 2 * * *", "15,45 1-4 * * *")),
    st.sampled_from(("Europe/Berlin", "Australia/Lord_Howe", "America/Havana", "UTC")),
    st.sampled_from((1_774_700_000, 1_792_800_000, 1_775_250_000, 1_793_500_000)),  # days with a change of clocks
    st.lists(st.tuples(st.floats(0.01, 6 * HOUR), st.booleans()), min_size=1, max_size=12),
    st.integers(0, 900),
)
def test_whenever_owners_look_and_restart_the_same_times_run_once(
    cron: str, zone: str, begin: int, looks: list[tuple[float, bool]], jitter: int
) -> None:
    """The times that start are those of the expression between the first and the last look, each once."""
    one = schedule(
        cron=cron,
        timezone=zone,
        catchup="all",
        overlap="parallel",
        last_at=float(begin),
        next_at=Cron(cron, zone).after(begin),
        jitter_seconds=float(jitter),
    )
    now, started = float(begin), list[float]()
    for seconds, restarts in looks:
        now += seconds
        if restarts:  # `next_at` is computed anew
            one = moved(one, [], now)
        found = decide(one, NOBODY, now)
        assert {decision.outcome for decision in found} <= {"started"}
        started += [decision.at for decision in found]
        one = moved(one, found, now) if found else one
    assert started == Cron(cron, zone).newest(begin, now - one.delay, 10**6)


@given(
    st.sampled_from(("skip", "queue", "parallel", "cancel")),
    st.sampled_from(("latest", "none", "all")),
    st.integers(0, 5 * 86_400),
    st.lists(st.floats(-2 * DAY, 4 * DAY), max_size=8),
    st.booleans(),
)
def test_no_time_is_decided_twice_even_if_the_clock_jumps(
    overlap: str, catchup: str, within: int, jumps: list[float], busy: bool
) -> None:
    one = schedule(
        overlap=overlap, catchup=catchup, catchup_seconds=float(within), last_at=10 * DAY, next_at=10 * DAY + HOUR
    )
    seen, now = list[float](), 10 * DAY
    for jump in jumps:
        now = max(DAY, now + jump)
        found = decide(one, Unfinished(activations=("x",) if busy else ()), now)
        seen += [decision.at for decision in found]
        assert all(one.last_at < decision.at <= now for decision in found)
        one = moved(one, found, now) if found else one
        assert one.next_at is None or one.next_at > one.last_at
    assert all(first < second for first, second in pairwise(seen))


def test_the_id_of_a_run_is_made_of_name_and_time() -> None:
    one = schedule(name="cortex/daily.report")
    assert one.run_id(1_769_824_800.0).startswith("cortex-daily-report-20260131T020000Z-")
    assert one.run_id(1_769_824_800.25) != one.run_id(1_769_824_800.0)
    assert one.run_id(5.0) == schedule(name="Cortex/daily.report", schedule_id=9).run_id(5.0).replace(
        "Cortex", "cortex"
    )
    assert one.run_id(5.0) != schedule(name="cortex-daily-report").run_id(5.0)
    assert one.run_id(5.0) != replace(one, project_id="other").run_id(5.0)
    assert len(schedule(name="n" * 254).run_id(5.0)) < 160


def test_times_are_written_in_utc() -> None:
    assert iso(1_769_824_800.0) == "2026-01-31T02:00:00Z"
    assert iso(1_769_824_800.1234) == "2026-01-31T02:00:00.123Z"


@pytest.mark.parametrize("name", ["nightly", "cortex/simple", "a.b_c-d", "next-one"])
def test_names(name: str) -> None:
    assert is_name(name)


@pytest.mark.parametrize("name", ["", "1a", "a b", "../a", "a/../b", "a\0b", "next", "a/pause", "a" * 300, "ä"])
def test_no_names(name: str) -> None:
    assert not is_name(name)

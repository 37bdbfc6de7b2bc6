"""Cron expressions: the same moments whoever asks and whenever, fixed times once, wildcards as the clocks show them."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fabric_jobs.errors import InvalidInput
from fabric_jobs.schedules.cron import NAMED, Cron

# Hours of a change of clocks, in UTC: forward, back, by half an hour, by two hours, at midnight, by a day.
CHANGES = (
    ("Europe/Berlin", "2026-03-29T01:00"),
    ("Europe/Berlin", "2026-10-25T01:00"),
    ("America/New_York", "2026-03-08T07:00"),
    ("America/New_York", "2026-11-01T06:00"),
    ("Australia/Lord_Howe", "2026-04-04T15:00"),
    ("Australia/Lord_Howe", "2026-10-03T15:30"),
    ("Antarctica/Troll", "2026-03-29T01:00"),
    ("Antarctica/Troll", "2026-10-25T01:00"),
    ("Africa/Cairo", "2026-04-23T22:00"),
    ("Africa/Cairo", "2026-10-29T21:00"),
    ("America/Havana", "2026-11-01T05:00"),
    ("Europe/Dublin", "2026-10-25T01:00"),
    ("Pacific/Apia", "2011-12-30T10:00"),
    ("Asia/Kathmandu", "2026-01-01T00:00"),
    ("UTC", "2026-03-01T00:00"),
)
EXPRESSIONS = (
    "* * * * *",
    "*/7 * * * *",
    "30 * * * *",
    "0 */12 * * *",
    "15 1-3 * * *",
    "30 2 * * *",
    "0,30 0,1,2 * * *",
    "59 23 * * *",
    "0 0 1 * *",
    "*/20 5 * * 1",
    "30 1,2 29,25,4,1,8 * *",
    "0 0 L * *",
    "@hourly",
    "@daily",
)


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def walls(cron: Cron, start: str, count: int) -> list[str]:
    """Return the next moments as the clocks of the zone show them."""
    found = islice(cron.moments(at(start)), count)
    return [datetime.fromtimestamp(moment, ZoneInfo(cron.zone)).isoformat() for moment in found]


moments = st.builds(
    lambda change, seconds: (change[0], at(change[1]) + seconds),
    st.sampled_from(CHANGES),
    st.integers(-2 * 86_400, 2 * 86_400),
)
field = st.sampled_from(("*", "0", "1", "2", "15", "30", "*/2", "*/13", "1-3", "0,30", "7"))
expressions = st.one_of(st.sampled_from(EXPRESSIONS), st.builds(lambda a, b: f"{a} {b} * * *", field, field))


@given(moments, expressions, st.floats(0, 1))
@example(("Australia/Lord_Howe", at("2026-04-04T14:59:59")), "30 * * * *", 0.5)
@example(("Australia/Lord_Howe", at("2026-04-04T13:00")), "0 */12 * * *", 0.9)
def test_a_restart_at_any_moment_gives_the_same_times(place: tuple[str, float], expression: str, part: float) -> None:
    """Whoever starts between two moments finds the same next one, so no restart loses, repeats or moves a run."""
    zone, now = place
    try:
        cron = Cron(expression, zone)
        first, second, third = islice(cron.moments(now), 3)
    except InvalidInput:  # such as hour 30
        return
    assert now < first < second < third
    between = first + (second - first) * part
    later = min(between, second - 1)
    assert cron.after(later) == second
    assert cron.after(first) == second
    assert cron.after(second) == third
    assert cron.after(first - 1) == first


@given(moments, expressions)
def test_every_moment_shows_a_matching_time_and_none_is_left_out(place: tuple[str, float], expression: str) -> None:
    """The moments of a wildcard are exactly those minutes whose wall-clock time, as naive text, matches."""
    from cronsim import CronSim

    zone, now = place
    minute, hour = NAMED.get(expression, expression).split()[:2]
    if not (minute.startswith("*") or hour.startswith("*")) or not hour.replace("*", "0").split("/")[0].isdecimal():
        return
    try:
        found = set(islice(Cron(expression, zone).moments(now), 40))
    except InvalidInput:
        return
    first = int(now // 60 + 1) * 60
    until = min(max(found), first + 6 * 3600)
    for moment in range(first, int(until) + 1, 60):
        wall = datetime.fromtimestamp(moment, ZoneInfo(zone)).replace(tzinfo=None, fold=0)
        matches = next(CronSim(NAMED.get(expression, expression), wall - timedelta(seconds=1))) == wall
        assert (moment in found) == matches, datetime.fromtimestamp(moment, ZoneInfo(zone))


@given(moments, expressions, st.integers(0, 30 * 86_400), st.integers(1, 120))
def test_the_newest_moments_are_the_last_of_all(
    place: tuple[str, float], expression: str, seconds: int, limit: int
) -> None:
    zone, now = place
    cron = Cron(expression, zone)
    after = now - min(seconds, 3 * 86_400 if "*" in expression.split()[0] else seconds)
    try:
        every = []
        for moment in cron.moments(after):
            if moment > now:
                break
            every.append(moment)
    except InvalidInput:
        return
    assert cron.newest(after, now, limit) == every[-limit:]


def test_a_fixed_time_that_is_skipped_comes_after_the_gap() -> None:
    assert walls(Cron("30 2 * * *", "Europe/Berlin"), "2026-03-28T00:00", 3) == [
        "2026-03-28T02:30:00+01:00",
        "2026-03-29T03:00:00+02:00",
        "2026-03-30T02:30:00+02:00",
    ]
    assert walls(Cron("0 1 * * *", "Pacific/Apia"), "2011-12-29T00:00", 3) == [
        "2011-12-29T01:00:00-10:00",
        "2011-12-31T00:00:00+14:00",
        "2011-12-31T01:00:00+14:00",
    ]


def test_a_fixed_time_that_is_repeated_comes_once() -> None:
    assert walls(Cron("30 2 * * *", "Europe/Berlin"), "2026-10-24T12:00", 2) == [
        "2026-10-25T02:30:00+02:00",
        "2026-10-26T02:30:00+01:00",
    ]
    # Also for an owner that starts in the repeated hour, before and after the time.
    for start in ("2026-10-25T00:31", "2026-10-25T01:15", "2026-10-25T01:45"):
        assert walls(Cron("30 2 * * *", "Europe/Berlin"), start, 1) == ["2026-10-26T02:30:00+01:00"]


def test_a_wildcard_runs_in_both_repeated_hours_and_not_in_a_gap() -> None:
    assert walls(Cron("*/30 * * * *", "Europe/Berlin"), "2026-10-24T23:59", 5) == [
        "2026-10-25T02:00:00+02:00",
        "2026-10-25T02:30:00+02:00",
        "2026-10-25T02:00:00+01:00",
        "2026-10-25T02:30:00+01:00",
        "2026-10-25T03:00:00+01:00",
    ]
    assert walls(Cron("30 * * * *", "Australia/Lord_Howe"), "2026-04-04T14:00", 3) == [
        "2026-04-05T01:30:00+11:00",
        "2026-04-05T01:30:00+10:30",
        "2026-04-05T02:30:00+10:30",
    ]
    assert walls(Cron("*/30 * * * *", "Europe/Berlin"), "2026-03-29T00:29", 2) == [
        "2026-03-29T01:30:00+01:00",
        "2026-03-29T03:00:00+02:00",
    ]


@pytest.mark.parametrize(
    ("expression", "zone", "said"),
    [
        ("", "UTC", "five fields"),
        ("* * * *", "UTC", "five fields"),
        ("0 0 0 * * *", "UTC", "five fields"),
        ("60 * * * *", "UTC", "minute"),
        ("* 24 * * *", "UTC", "hour"),
        ("* * * * MOON", "UTC", "day-of-week"),
        ("0 0 31 2 *", "UTC", "day-of-month"),
        ("* * */20 * 1L", "UTC", "50 years"),
        ("@every 5m", "UTC", "@every 5m"),
        ("@reboot", "UTC", "@reboot"),
        ("9" * 5000, "UTC", "five fields"),
        ("* * * * *", "Europe/Berln", "time zone"),
        ("* * * * *", "../../etc/passwd", "time zone"),
        ("* * * * *", "\0", "time zone"),
        ("* * * * *", "", "time zone"),
    ],
)
def test_what_is_wrong_is_said(expression: str, zone: str, said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Cron(expression, zone).check(at("2026-01-01T00:00"))
    assert said in caught.value.message
    assert caught.value.hint
    assert len(caught.value.message) < 300


@given(st.text(max_size=40) | st.from_regex(r"[0-9*/,#L@A-Z -]{1,30}", fullmatch=True))
def test_no_text_is_more_than_wrong(expression: str) -> None:
    with suppress(InvalidInput):
        Cron(expression).check(at("2026-01-01T00:00"))

"""Durations, sizes and counts, as users type and read them."""

from __future__ import annotations

import pytest

from fabric_jobs import durations, sizes
from fabric_jobs.counts import counted


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("500", 500),
        ("0", 0),
        ("1kb", 1000),
        ("500kB", 500_000),
        ("1.5 GiB", 3 << 29),
        ("10GB", 10**10),
        ("2T", 2 * 10**12),
        ("9Mi", 9 << 20),
        ("10MiB", 10 << 20),
        (" 1B ", 1),
        ("900E", 2**53),
        ("9" * 400, 2**53),
    ],
)
def test_a_size_is_bytes(text: str, count: int) -> None:
    assert sizes.bytes_of(text) == count


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("0.5s", 0.5),
        ("1.5h", 5400),
        ("2h30m", 9000),
        ("1d 2h 3m 4s", 93_784),
        ("30d", 2_592_000),
        ("2W", 1_209_600),
        ("99999999999w", 1e12),
    ],
)
def test_a_duration_is_seconds(text: str, seconds: float) -> None:
    assert durations.seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", " ", "much", "-1", "1 day", "10 elephants", "1e3", "GB", "inf", "nan", "."])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a size"):
        sizes.bytes_of(text)
    with pytest.raises(ValueError, match="not a duration"):
        durations.seconds_of(text)


@pytest.mark.parametrize("text", ["30", "30m2h", "10m10m", "h", "500ms", "2h30"])
def test_a_duration_has_every_unit_once_and_the_largest_first(text: str) -> None:
    with pytest.raises(ValueError, match="write it like 90s, 2h30m, 30d or 2w"):
        durations.seconds_of(text)


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0B"), (999, "999B"), (1234, "1.2kB"), (5e9, "5.0GB"), (5e15, "5000.0TB")]
)
def test_a_size_is_read_easily(count: float, text: str) -> None:
    assert sizes.spelled(count) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.04, "0.0s"),
        (59.94, "59.9s"),
        (59.96, "1m"),
        (200, "3m20s"),
        (3600, "1h"),
        (3599.7, "1h"),
        (9059, "2h31m"),
        (90_000, "1d1h"),
        (86_399, "1d"),
    ],
)
def test_what_something_took_has_two_figures(value: float, text: str) -> None:
    assert durations.measured(value) == text


@pytest.mark.parametrize("text", ["0s", "0.05s", "2.5s", "1m30s", "5m", "2h30m", "30d", "1d1s"])
def test_a_duration_is_spelled_as_it_is_typed(text: str) -> None:
    assert durations.spelled(durations.seconds_of(text)) == text


@pytest.mark.parametrize("count", [0, 1, 999, 1234, 10**7, 5 * 10**9])
def test_a_size_can_be_typed_as_it_is_spelled(count: int) -> None:
    assert sizes.bytes_of(sizes.spelled(count)) == pytest.approx(count, rel=0.05)


def test_counts_go_with_their_nouns_and_verbs() -> None:
    assert counted(1, "file", "is", "are") == "1 file is"
    assert counted(1234, "file", "is", "are") == "1,234 files are"
    assert counted(0, "record") == "0 records"

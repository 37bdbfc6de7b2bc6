"""Ranges and conditions: what a request wants is a part of the bytes, or all of them, whatever it says."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fabric_jobs.gateway.ranges import is_unchanged, range_of

ETAG = '"e"'
SIZES = st.integers(0, 50)


@given(text=st.one_of(st.text(max_size=30), st.from_regex(r"bytes=[0-9]{0,3}-[0-9]{0,3}(,.{0,5})?")), size=SIZES)
@example(text="bytes=²-", size=5)
@example(text=f"bytes={'9' * 19}-{'9' * 19}", size=5)
def test_it_never_leads_outside(text: str, size: int) -> None:
    wanted = range_of({"range": text}, ETAG, size)
    assert wanted is None or not wanted or (0 <= wanted.start < wanted.stop <= size and wanted.step == 1)


@given(first=SIZES, length=st.integers(1, 60), size=SIZES)
def test_first_and_last_are_like_a_slice(first: int, length: int, size: int) -> None:
    data = list(range(size))
    wanted = range_of({"range": f"bytes={first}-{first + length - 1}"}, ETAG, size)
    assert wanted is not None
    assert data[wanted.start : wanted.stop] == data[first : first + length]
    rest = range_of({"range": f"bytes={first}-"}, ETAG, size)
    assert rest is not None
    assert data[rest.start : rest.stop] == data[first:]
    last = range_of({"range": f"bytes=-{length}"}, ETAG, size)
    assert last is not None
    assert data[last.start : last.stop] == data[-length:]


@pytest.mark.parametrize("condition", ["", '"other"', "W/" + ETAG, "Sat, 28 Nov 2026 20:54:55 GMT"])
def test_a_range_of_other_bytes_counts_as_all(condition: str) -> None:
    assert range_of({"range": "bytes=0-0", "if-range": condition}, ETAG, 5) is None
    assert range_of({"range": "bytes=0-0", "if-range": ETAG}, ETAG, 5) == range(1)


@pytest.mark.parametrize(
    ("known", "same"), [("", False), ("*", True), (ETAG, True), (f'"a" , W/{ETAG}', True), ("e", False), ('"f"', False)]
)
def test_known_bytes_are_recognised(known: str, same: bool) -> None:
    assert is_unchanged({"if-none-match": known} if known else {}, ETAG) is same

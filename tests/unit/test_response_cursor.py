"""The cursor of a response that several channels lead to, each of which grows on its own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric_jobs.errors import InvalidInput
from fabric_jobs.gateway.response import Cursor

LENGTHS = st.lists(st.integers(0, 10**17), min_size=1, max_size=30)


@given(st.data())
def test_a_cursor_is_read_as_it_was_written(data: st.DataObject) -> None:
    ends = data.draw(LENGTHS)
    cursor = Cursor(tuple(data.draw(st.integers(0, end)) for end in ends))
    assert Cursor.parse(str(cursor), ends) == cursor
    assert Cursor.parse(str(cursor), [end + 1 for end in ends]) == cursor


@given(LENGTHS, st.integers(0, 10**18))
def test_a_count_is_taken_channel_by_channel(ends: list[int], count: int) -> None:
    offsets = Cursor.after(count, ends).offsets
    assert sum(offsets) == min(count, sum(ends))
    partly = [index for index, offset in enumerate(offsets) if 0 < offset < ends[index]]
    assert not partly or not any(offsets[partly[0] + 1 :])


@pytest.mark.parametrize(
    "text", ["1", "-1", "0.", "0.1-", "0.6", "2.0", "0.1.2", "x", "\u0660.1", "0.1 ", "0.1\n", "9999999.1"]
)
def test_what_is_no_cursor_of_this_response_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="x-fabric-cursor"):
        Cursor.parse(text, [5, 5])

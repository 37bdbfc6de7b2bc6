"""The tail, from which fast consumers read in memory, is bounded, and never differs from SQLite."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fabric_jobs.records import Segment
from fabric_jobs.store.tail import CHANNELS, Tail
from fabric_jobs.store.writer import Appended


def appended(channel_id: int, first: int, *sizes: int) -> Appended:
    lines = [b"x" * (size - 1) + b"\n" for size in sizes]
    return Appended(channel_id, Segment(first_offset=first, count=len(lines), parts=(b"".join(lines),)))


def held(tail: Tail) -> int:
    return sum(len(segment.bytes) for segments in tail._segments.values() for segment in segments)


def test_what_was_added_is_read() -> None:
    tail = Tail()
    tail.add(appended(1, 0, 2, 2))
    tail.add(appended(1, 2, 2))
    segment = tail.read(1, 1, max_bytes=100)
    assert segment is not None
    assert (segment.first_offset, segment.count) == (1, 2)


def test_what_is_not_here_is_for_sqlite() -> None:
    tail = Tail()
    assert tail.read(1, 0, max_bytes=100) is None
    tail.add(appended(1, 5, 2, 2))
    assert tail.read(1, 4, max_bytes=100) is None  # before
    assert tail.read(1, 7, max_bytes=100) is None  # not yet
    assert tail.read(2, 5, max_bytes=100) is None  # another channel


def test_the_channel_that_nobody_writes_to_goes_first() -> None:
    tail = Tail(total_bytes=20)
    tail.add(appended(1, 0, 8))
    tail.add(appended(2, 0, 8))
    tail.add(appended(1, 1, 2))
    tail.add(appended(3, 0, 8))
    assert tail.read(2, 0, max_bytes=100) is None
    assert tail.read(1, 0, max_bytes=100) is not None


def test_ended_activations_leave_a_bounded_number_of_channels() -> None:
    tail = Tail()
    for channel_id in range(CHANNELS + 100):
        tail.add(appended(channel_id, 0, 2))
    assert len(tail._segments) == len(tail._sizes) == CHANNELS
    assert tail.read(99, 0, max_bytes=100) is None
    assert tail.read(100, 0, max_bytes=100) is not None


def test_the_oldest_records_of_a_channel_go_first() -> None:
    tail = Tail(channel_bytes=10)
    for first in range(4):
        tail.add(appended(1, first, 4))
    assert [tail.read(1, first, max_bytes=1) is not None for first in range(4)] == [False, False, True, True]


def test_one_segment_over_the_bound_is_not_kept() -> None:
    tail = Tail(channel_bytes=10)
    tail.add(appended(1, 0, 11))
    tail.add(appended(1, 1, 3))
    assert tail.read(1, 0, max_bytes=1) is None
    assert tail.read(1, 1, max_bytes=1) is not None


def test_the_largest_channel_gives_way_when_all_together_are_too_large() -> None:
    tail = Tail(channel_bytes=100, total_bytes=100)
    tail.add(appended(1, 0, 60))
    tail.add(appended(2, 0, 30))
    tail.add(appended(3, 0, 30))
    assert [tail.read(channel_id, 0, max_bytes=1) is not None for channel_id in (1, 2, 3)] == [False, True, True]


def test_what_is_finished_is_forgotten() -> None:
    tail = Tail()
    tail.add(appended(1, 0, 2, 2))
    tail.add(appended(1, 2, 2, 2))
    tail.forget(1, 3)
    assert tail.read(1, 1, max_bytes=1) is None
    assert tail.read(1, 3, max_bytes=1) is not None
    tail.forget(1)
    tail.forget(7)
    assert held(tail) == 0


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("add"), st.integers(1, 3), st.lists(st.integers(1, 30), min_size=1, max_size=4)),
            st.tuples(st.just("forget"), st.integers(1, 3), st.integers(0, 12)),
        ),
        max_size=40,
    ),
    st.integers(1, 60),
)
def test_it_is_bounded_and_says_what_the_whole_log_says(steps: list[tuple[str, int, object]], max_bytes: int) -> None:
    tail = Tail(channel_bytes=50, total_bytes=80)
    logs: dict[int, list[bytes]] = {1: [], 2: [], 3: []}
    for what, channel_id, value in steps:
        log = logs[channel_id]
        if what == "forget":
            assert isinstance(value, int)
            tail.forget(channel_id, min(value, len(log)))
        else:
            assert isinstance(value, list)
            lines = [str(len(log) + index).encode().rjust(size, b"0") + b"\n" for index, size in enumerate(value)]
            tail.add(Appended(channel_id, Segment(first_offset=len(log), count=len(lines), parts=(b"".join(lines),))))
            log += lines
        assert held(tail) == tail._total <= 80
        for known, log in logs.items():
            assert sum(len(segment.bytes) for segment in tail._segments.get(known, ())) <= 50
            for offset in range(len(log)):
                segment = tail.read(known, offset, max_bytes=max_bytes)
                if segment is not None:
                    assert segment.first_offset == offset
                    assert segment.bytes == b"".join(log[offset : segment.end])

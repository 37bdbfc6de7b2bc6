"""Channels: logs of records with their consumer's cursors."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fabric_jobs.records import Channel, Segment
from fabric_jobs.store import Effects, Store, channels, leases
from fabric_jobs.store.writer import Appended
from tests.factories import add_activation, add_channel, append, ndjson, records_of

EACH_IN_ITS_OWN = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


def now(store: Store, channel_id: int) -> Channel:
    channel = channels.find(store.read, channel_id)
    assert channel is not None
    return channel


def test_records_are_read_in_the_order_in_which_they_were_appended(store: Store) -> None:
    add_activation(store)
    channel_id = add_channel(store, "a.in", "b.in", wire=0)
    append(store, [1, 2])
    append(store, [{"three": 3}])
    assert records_of(store, channel_id) == [1, 2, {"three": 3}]
    assert (now(store, channel_id).next_offset, now(store, channel_id).size) == (3, len(ndjson([1, 2, {"three": 3}])))


def test_an_output_goes_to_every_channel_that_takes_it(store: Store) -> None:
    add_activation(store)
    first = add_channel(store, "a.in", "b.in", wire=0)
    second = add_channel(store, "a.in", "c.in", wire=1)
    other = add_channel(store, "a.in", "c.in", wire=2, output="errors")
    append(store, [1])
    assert [records_of(store, channel_id) for channel_id in (first, second, other)] == [[1], [1], []]


def test_an_output_that_nobody_takes_drops_its_records(store: Store) -> None:
    add_activation(store)
    channel_id = add_channel(store, "a.in", "b.in", wire=0)
    append(store, [1], output="nobody")
    assert records_of(store, channel_id) == []


def test_a_channel_of_another_activation_is_not_touched(store: Store) -> None:
    add_activation(store, "a1")
    add_activation(store, "a2")
    add_channel(store, "a.in", "b.in", wire=0, activation_id="a1")
    other = add_channel(store, "a.in", "b.in", wire=0, activation_id="a2")
    append(store, [1], activation_id="a1")
    assert records_of(store, other) == []


def test_reading_returns_at_least_one_segment_and_about_max_bytes(store: Store) -> None:
    add_activation(store)
    channel_id = add_channel(store, "a.in", "b.in", wire=0)
    for number in range(30):
        append(store, [number, number])
    one = channels.read(store.read, channel_id, 0, max_bytes=1)
    assert one is not None
    assert (one.first_offset, one.count) == (0, 2)
    some = channels.read(store.read, channel_id, 3, max_bytes=12)
    assert some is not None
    assert (some.first_offset, some.bytes) == (3, b"1\n2\n2\n3\n3\n4\n4\n"[: len(some.bytes)])
    everything = channels.read(store.read, channel_id, 0, max_bytes=1 << 20)
    assert everything is not None
    assert everything.count == 60


def test_reading_at_the_end_and_past_it_returns_nothing(store: Store) -> None:
    add_activation(store)
    channel_id = add_channel(store, "a.in", "b.in", wire=0)
    assert channels.read(store.read, channel_id, 0, max_bytes=100) is None
    append(store, [1, 2, 3])
    assert channels.read(store.read, channel_id, 3, max_bytes=100) is None
    assert channels.read(store.read, channel_id, 4, max_bytes=100) is None


def test_exactly_as_many_segments_as_one_query_returns_are_read_and_end(store: Store) -> None:
    add_activation(store)
    channel_id = add_channel(store, "a.in", "b.in", wire=0)
    for number in range(16):
        append(store, [number])
    assert records_of(store, channel_id) == list(range(16))


@EACH_IN_ITS_OWN
@given(
    parts=st.lists(st.lists(st.integers(0, 999), min_size=1, max_size=5), max_size=25),
    max_bytes=st.integers(1, 60),
    start=st.integers(0, 40),
    acked=st.integers(0, 40),
)
def test_reading_on_and_on_returns_every_record_once(
    store: Store, parts: list[list[int]], max_bytes: int, start: int, acked: int
) -> None:
    activation_id = add_activation(store, f"a{json.dumps([parts, max_bytes, start, acked])}-{store.commits}")
    channel_id = add_channel(store, "a.in", "b.in", wire=0, activation_id=activation_id)
    for part in parts:
        append(store, part, activation_id=activation_id)
    everything = [record for part in parts for record in part]
    acked = min(acked, start, len(everything))
    store.write(lambda tx: leases.mark(tx, channel_id, 0, acked)).result()
    for read in (
        lambda offset: channels.read(store.read, channel_id, offset, max_bytes=max_bytes),
        lambda offset: store.records(channel_id, offset, max_bytes=max_bytes),
    ):
        assert read_on(read, start) == everything[start:]


def read_on(read: Callable[[int], Segment | None], offset: int) -> list[int]:
    found: list[int] = []
    while (segment := read(offset)) is not None:
        assert segment.first_offset == offset
        assert segment.bytes.count(b"\n") == segment.count > 0
        found += map(int, segment.bytes.split())
        offset = segment.end
    return found


@pytest.mark.parametrize(("first", "limit", "expected"), [
    (10, None, "10 11 12"), (11, None, "11 12"), (12, None, "12"), (0, None, "10 11 12"),
    (10, 1, "10"), (11, 1, "11"), (10, 3, "10 11 12"), (11, 9, "11 12"),
])  # fmt: skip
def test_a_part_of_a_segment(first: int, limit: int | None, expected: str) -> None:
    segment = Segment(first_offset=10, count=3, parts=(b"10\n11\n12\n",))
    part = segment.part(first, limit)
    assert part.bytes.decode().split() == expected.split()
    assert (part.first_offset, part.count) == (int(expected.split()[0]), len(expected.split()))


def test_segments_that_are_wholly_consumed_are_deleted_and_no_others(store: Store) -> None:
    add_activation(store)
    channel_id = add_channel(store, "a.in", "b.in", wire=0)
    append(store, [0, 1])
    append(store, [2, 3])
    append(store, [4, 5])
    left = {0: [2, 4, 6], 1: [2, 4, 6], 2: [4, 6], 3: [4, 6], 4: [6], 6: []}
    for acked, ends in left.items():
        store.write(lambda tx, acked=acked: leases.mark(tx, channel_id, 0, acked)).result()  # type: ignore[misc]
        assert [end for end, _ in channels.sizes(store.read, channel_id, 0)] == ends
    append(store, [6])
    segment = store.records(channel_id, 6, max_bytes=100)
    assert segment is not None
    assert (segment.first_offset, segment.bytes) == (6, b"6\n")


def test_a_channel_ends_once(store: Store) -> None:
    add_activation(store)
    channel_id = add_channel(store, "a.in", "b.in", wire=0)
    seen: list[Effects] = []
    store.listen(seen.append)
    for _ in range(2):
        store.write(lambda tx: channels.end(tx, channel_id)).result()
    assert [effects.ended for effects in seen] == [{channel_id}, set()]
    assert now(store, channel_id).ended


def test_sizes_tell_what_is_not_wholly_consumed(store: Store) -> None:
    add_activation(store)
    channel_id = add_channel(store, "a.in", "b.in", wire=0)
    append(store, [1, 2])
    append(store, ["longer"])
    assert channels.sizes(store.read, channel_id, 1) == [(2, 4), (3, 9)]
    assert channels.sizes(store.read, channel_id, 2) == [(3, 9)]


def test_an_append_tells_those_who_wait(store: Store) -> None:
    add_activation(store)
    channel_id = add_channel(store, "a.in", "b.in", wire=0)
    seen: list[Effects] = []
    store.listen(seen.append)
    append(store, [1, 2])
    assert seen[-1].appended == [Appended(channel_id, Segment(first_offset=0, count=2, parts=(b"1\n2\n",)))]

"""Records on their way into channels, with what they were made from."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric_jobs.runtime.fabric_skill.pile import runs
from fabric_jobs.store.sent import Sent, count_of, parents_of, runs_of

ORIGINS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 50)), max_size=30)


@given(ORIGINS)
def test_origins_are_what_they_were_before_they_were_shortened(origins: list[tuple[int, int]]) -> None:
    text = runs_of(origins)
    assert parents_of(text) == origins
    assert count_of(json.loads(text or "[]")) == len(origins)


@given(st.lists(st.tuples(st.integers(1, 2), st.integers(0, 3), st.integers(1, 3)), max_size=20))
def test_the_runtime_layer_shortens_in_the_same_way(steps: list[tuple[int, int, int]]) -> None:
    offsets = {1: 0, 2: 0}
    made: list[tuple[int, int, int]] = []
    for channel, gap, count in steps:
        made.append((channel, offsets[channel] + gap, count))
        offsets[channel] += gap + 1
    expected = [(channel, offset) for channel, offset, count in made for _ in range(count)]
    one = len({channel for channel, _, _ in made}) == 1
    assert parents_of(json.dumps(runs(made, len(expected), one_channel=one))) == expected


@given(ORIGINS, st.data())
def test_records_are_split_and_chosen_together_with_their_origins(
    origins: list[tuple[int, int]], data: st.DataObject
) -> None:
    lines = b"".join(b"%d\n" % index for index in range(len(origins)))
    sent = Sent(output="x", count=len(origins), bytes=lines, parents=runs_of(origins))
    head, rest = sent.split(data.draw(st.integers(0, len(origins))))
    assert head.bytes + rest.bytes == lines
    assert parents_of(head.parents) + parents_of(rest.parents) == origins
    kept = [index for index in range(len(origins)) if data.draw(st.booleans())]
    chosen = sent.only(kept)
    assert chosen.bytes == b"".join(b"%d\n" % index for index in kept)
    assert parents_of(chosen.parents) == [origins[index] for index in kept]


@pytest.mark.parametrize("value", [[[1, 2]], [["a", 1, 1]], [[1, 1, -1]], [[-1, 1, 1]], [[1, 1, ["x"]]], 3])
def test_what_is_no_origin_is_refused(value: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        count_of(value)

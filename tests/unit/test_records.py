"""Values of rows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric_jobs.records import Segment
from fabric_jobs.states import ActivationState, TaskState
from tests.factories import activation, task


@given(
    lines=st.lists(st.binary(max_size=5).map(lambda line: line.replace(b"\n", b"")), min_size=1, max_size=8),
    base=st.integers(0, 1000),
    skip=st.integers(-3, 7),
    limit=st.one_of(st.none(), st.integers(1, 9)),
)
def test_a_part_holds_the_lines_from_its_first_offset_on(
    lines: list[bytes], base: int, skip: int, limit: int | None
) -> None:
    segment = Segment(first_offset=base, count=len(lines), parts=(b"".join(line + b"\n" for line in lines),))
    skip = min(skip, len(lines) - 1)
    part = segment.part(base + skip, limit)
    expected = lines[max(skip, 0) :][:limit]
    assert part.bytes == b"".join(line + b"\n" for line in expected)
    assert (part.first_offset, part.count, part.end) == (
        base + max(skip, 0),
        len(expected),
        base + max(skip, 0) + len(expected),
    )


def test_the_whole_of_a_segment_is_not_copied() -> None:
    segment = Segment(first_offset=0, count=2, parts=(b"1\n2\n",))
    assert segment.part(0) is segment
    assert segment.part(0, 2) is segment


@pytest.mark.parametrize("state", list(TaskState))
def test_a_task_has_ended_in_a_final_state(state: TaskState) -> None:
    assert task(state=state).ended == (state.value in ("COMPLETE", "FAILED", "CANCELLED", "TIMEOUT"))


@pytest.mark.parametrize("state", list(ActivationState))
def test_an_activation_has_ended_when_it_is_not_pending(state: ActivationState) -> None:
    assert activation(state=state).ended == (state.value != "PENDING")


def test_an_attempt_is_named_after_its_task() -> None:
    assert task(task_id=3, state=TaskState.ACTIVE, attempt=2).attempt_name == "t3-2"

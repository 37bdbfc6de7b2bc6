"""Tracks how far a stream's records have been handed out to its attempt."""

from __future__ import annotations

from fabric_jobs.store import handed_out
from fabric_jobs.store.handed_out import HandedOut


def test_what_was_not_handed_out_is_not_in_the_progress_of_an_attempt() -> None:
    known = HandedOut()
    known.note(7, 1, {})
    known.note(7, 1, {5: 20})
    known.note(7, 1, {5: 10, 6: 3})  # what it has, according to its next call
    known.note(8, 1, {5: 4000})
    there = {5: (12, 9000), 6: (2, 2), 9: (1, 50)}
    assert known.progress(7, 1, there) == {5: (12, 20), 6: (2, 2), 9: (1, 1)}


def test_an_attempt_that_has_not_asked_since_this_owner_began_may_have_had_everything() -> None:
    known = HandedOut()
    known.note(7, 1, {5: 3})
    assert known.progress(7, 2, {5: (0, 9)}) == {5: (0, 9)}
    assert known.progress(7, 1, {5: (0, 9)}) == {5: (0, 3)}
    assert known.progress(7, 1, {5: (0, 9)}) == {5: (0, 9)}  # forgotten


def test_what_is_known_is_bounded() -> None:
    known = HandedOut()
    for task_id in range(handed_out.ATTEMPTS + 1):
        known.note(task_id, 1, {5: 1})
    assert known.progress(0, 1, {5: (0, 9)}) == {5: (0, 9)}
    assert known.progress(handed_out.ATTEMPTS, 1, {5: (0, 9)}) == {5: (0, 1)}

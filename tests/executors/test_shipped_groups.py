"""Output that the first of several containers sends, among what the others have printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from fabric_jobs.errors import InvalidInput
from fabric_jobs.executors.attempt_files import merging, shipped
from fabric_jobs.executors.attempt_files.merging import Merger
from fabric_jobs.executors.base import STREAMS


@pytest.fixture
def attempt(tmp_path: Path) -> Path:
    for stream in STREAMS:
        (tmp_path / stream).touch()
    merging.begin(tmp_path)
    return tmp_path


def test_offsets_are_those_of_the_first_one_whatever_the_others_print(attempt: Path) -> None:
    other = Merger(attempt, 1)
    assert shipped.take(attempt, "stdout", 0, b"one\n") == 4
    other.append("stdout", b"other\n")
    assert shipped.take(attempt, "stdout", 4, b"two\n") == 8
    assert shipped.take(attempt, "stderr", 0, b"err\n") == 4
    assert (attempt / "stdout").read_bytes() == b"one\nother\ntwo\n"
    assert (attempt / "stderr").read_bytes() == b"err\n"


def test_what_is_sent_again_is_there_once(attempt: Path) -> None:
    assert shipped.take(attempt, "stdout", 0, b"one\n") == 4
    assert shipped.take(attempt, "stdout", 0, b"one\ntwo\n") == 8
    assert shipped.take(attempt, "stdout", 0, b"one\n") == 8
    assert (attempt / "stdout").read_bytes() == b"one\ntwo\n"


def test_the_beginning_of_a_line_comes_with_its_rest_or_alone(attempt: Path) -> None:
    assert shipped.take(attempt, "stdout", 0, b"one\ntw") == 4
    Merger(attempt, 1).append("stdout", b"other\n")
    assert shipped.take(attempt, "stdout", 4, b"two\nno end") == 8
    assert shipped.take(attempt, "stdout", 8, b"no end") == 14
    assert (attempt / "stdout").read_bytes() == b"one\nother\ntwo\nno end"


def test_another_process_goes_on_where_the_first_one_was(attempt: Path) -> None:
    assert shipped.take(attempt, "stdout", 0, b"one\n") == 4
    Merger(attempt, 1).append("stdout", b"other\n")
    shipped._Among.of.cache_clear()
    assert shipped.take(attempt, "stdout", 0, b"one\ntwo\n") == 8
    assert (attempt / "stdout").read_bytes() == b"one\nother\ntwo\n"


def test_what_comes_before_must_be_there(attempt: Path) -> None:
    with pytest.raises(InvalidInput, match="stdout has 0 bytes, so it cannot go on at 3"):
        shipped.take(attempt, "stdout", 3, b"x")


def test_a_request_and_its_repetition_at_a_time_append_once(attempt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each may have an object of its own, as after a restart: one looks at what is there while the other one is about to write."""
    first, second = shipped._Among(attempt), shipped._Among(attempt)
    look, looks = Merger.sizes, iter([True])

    def sizes(merger: Merger) -> dict[str, int]:
        found = look(merger)
        if next(looks, False):
            assert second.take("stdout", 0, b"one\n") == 4
        return found

    monkeypatch.setattr(Merger, "sizes", sizes)
    assert first.take("stdout", 0, b"one\n") == 4
    assert second.take("stdout", 0, b"one\n") == 4
    assert (attempt / "stdout").read_bytes() == b"one\n"

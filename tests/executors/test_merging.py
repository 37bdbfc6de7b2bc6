"""The output of several containers in the files of one attempt, across processes that are killed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric_jobs.executors.attempt_files.merging import FILE, LINE_BYTES, Merger
from fabric_jobs.executors.base import STREAMS
from tests.acceptance.live import until


def merged(directory: Path, member: int) -> Merger:
    for stream in STREAMS:
        (directory / stream).touch()
    return Merger(directory, member)


def test_lines_of_two_containers_stay_whole(tmp_path: Path) -> None:
    one, two = merged(tmp_path, 0), merged(tmp_path, 1)
    parts = [("stdout", b"one "), ("stdout", b"line\nand "), ("stderr", b"oh\n"), ("stdout", b"another")]

    def between() -> None:
        two.copy([("stdout", b"two\n")])

    def arriving() -> Iterator[tuple[str, bytes]]:
        for part in parts:
            between()
            yield part

    one.copy(arriving())
    assert (tmp_path / "stdout").read_bytes() == b"two\ntwo\none line\ntwo\ntwo\nand another"
    assert (tmp_path / "stderr").read_bytes() == b"oh\n"
    assert one.sizes() == {"stdout": 20, "stderr": 3}
    assert two.sizes() == {"stdout": 16, "stderr": 0}


def test_a_line_that_is_not_finished_soon_is_shown_and_not_mixed_with_another(tmp_path: Path) -> None:
    one, two = merged(tmp_path, 0), merged(tmp_path, 1)

    def arriving() -> Iterator[tuple[str, bytes]]:
        yield "stdout", b"name: "
        until(lambda: (tmp_path / "stdout").read_bytes() == b"name: ", "it is shown")
        two.copy([("stdout", b"two\n")])
        yield "stdout", b"one\n"

    one.copy(arriving())
    assert (tmp_path / "stdout").read_bytes() == b"name: \ntwo\none\n"
    assert one.sizes()["stdout"] == len(b"name: one\n")
    assert two.sizes()["stdout"] == len(b"two\n")


def test_a_line_without_an_end_does_not_gather_for_ever(tmp_path: Path) -> None:
    found = merged(tmp_path, 0)

    def arriving() -> Iterator[tuple[str, bytes]]:
        yield "stdout", b"x" * LINE_BYTES
        assert (tmp_path / "stdout").stat().st_size == LINE_BYTES
        yield "stdout", b"y"

    found.copy(arriving())
    assert found.sizes()["stdout"] == LINE_BYTES + 1


def test_the_end_of_a_container_is_its_own(tmp_path: Path) -> None:
    one, two = merged(tmp_path, 0), merged(tmp_path, 1)
    assert one.ends_with("stdout", b"")
    assert not one.ends_with("stdout", b"first")
    one.copy([("stdout", b"first\n")])
    two.copy([("stdout", b"second\n")])
    assert one.ends_with("stdout", b"first")
    assert two.ends_with("stdout", b"second")
    assert not one.ends_with("stdout", b"second")


WRITES = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from(STREAMS), st.binary(min_size=1, max_size=9)), min_size=1, max_size=12
)


@given(writes=WRITES, cut=st.floats(0, 1), torn=st.booleans())
def test_whoever_is_killed_while_writing_leaves_a_ledger_that_agrees(
    tmp_path_factory: pytest.TempPathFactory, writes: list[tuple[int, str, bytes]], cut: float, torn: bool
) -> None:
    """The last write is cut off anywhere, or only its line in the ledger is; the next process goes on exactly there."""
    directory = tmp_path_factory.mktemp("merged")
    expected: dict[tuple[int, str], bytes] = {}
    for member, stream, text in writes:
        merged(directory, member).copy([(stream, text)])
        expected[member, stream] = expected.get((member, stream), b"") + text
    member, stream, text = writes[-1]
    missing = len(text) - int(cut * len(text))
    size = (directory / stream).stat().st_size
    with open(directory / stream, "r+b") as file:
        file.truncate(size - missing)
    if torn and missing == len(text):  # the line itself was not whole
        ledger = (directory / FILE).read_bytes()
        (directory / FILE).write_bytes(ledger[:-2])
    for number in range(3):
        for name in STREAMS:
            whole = expected.get((number, name), b"")
            there = len(whole) - (missing if (number, name) == (member, stream) else 0)
            assert merged(directory, number).sizes()[name] == there
    again = merged(directory, member)
    again.copy([(stream, expected[member, stream][again.sizes()[stream] :])])
    for number in range(3):
        for name in STREAMS:
            assert merged(directory, number).sizes()[name] == len(expected.get((number, name), b""))


def test_output_that_the_ledger_does_not_know_is_nobodys(tmp_path: Path) -> None:
    found = merged(tmp_path, 0)
    found.copy([("stdout", b"known\n")])
    with open(tmp_path / "stdout", "ab") as file:
        file.write(b"unknown\n")
    found.copy([("stdout", b"more\n")])
    assert merged(tmp_path, 0).sizes()["stdout"] == 11
    assert (tmp_path / "stdout").read_bytes() == b"known\nunknown\nmore\n"

"""Pages of a log: every byte once, in the order in which it was seen, each page from the end of the one before."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fabric_jobs.errors import InvalidInput
from fabric_jobs.executors.attempt_files.pages import LINE_BYTES, merged, page
from fabric_jobs.executors.base import LogPart, LogQuery


def write(directory: Path, stdout: bytes = b"", stderr: bytes = b"", index: str = "") -> Path:
    (directory / "stdout").write_bytes(stdout)
    (directory / "stderr").write_bytes(stderr)
    (directory / "index").write_text(index)
    return directory


def parts(directory: Path, query: LogQuery | None = None) -> list[LogPart]:
    """Return the parts of all pages."""
    query = query or LogQuery()
    found: list[LogPart] = []
    while True:
        answer = page(directory, query)
        found += answer.parts
        query = replace(query, cursor=answer.cursor)
        if not answer.more:
            return found


def of(found: list[LogPart], stream: str) -> bytes:
    return b"".join(part.bytes for part in found if part.stream == stream)


def said(found: list[LogPart]) -> list[tuple[float, bytes]]:
    return [(part.at or 0.0, part.bytes) for part in found]


def test_lines_come_in_the_order_and_with_the_times_at_which_they_were_seen(tmp_path: Path) -> None:
    index = "1.0 0 2\n2.0 2 2\n3.0 3 4\n4.0 6 4\n"  # the second line of stdout is seen in part at 3, whole at 4
    write(tmp_path, b"A\nBBB\n", b"x\ny\n", index)
    assert said(parts(tmp_path)) == [(1.0, b"x\n"), (2.0, b"A\n"), (3.0, b"y\n"), (4.0, b"BBB\n")]
    assert said(parts(tmp_path, LogQuery(streams=("stderr",)))) == [(1.0, b"x\n"), (3.0, b"y\n")]


def test_what_nobody_has_looked_at_yet_has_the_time_of_its_file(tmp_path: Path) -> None:
    write(tmp_path, b"A\nB\n", b"x\n", "1.0 2 0\n")
    os.utime(tmp_path / "stdout", (7.0, 7.0))
    os.utime(tmp_path / "stderr", (9.0, 9.0))
    assert said(parts(tmp_path)) == [(1.0, b"A\n"), (7.0, b"B\n"), (9.0, b"x\n")]


def test_a_page_begins_where_the_one_before_ended(tmp_path: Path) -> None:
    write(tmp_path, b"one\ntw")
    first = page(tmp_path, LogQuery())
    assert of(list(first.parts), "stdout") == b"one\ntw"
    assert page(tmp_path, LogQuery(cursor=first.cursor)).parts == ()
    write(tmp_path, b"one\ntwo\nthree", b"x\n", "1.0 8 2\n")
    assert said(list(page(tmp_path, LogQuery(cursor=first.cursor)).parts))[:2] == [(1.0, b"o\n"), (1.0, b"x\n")]


def test_a_line_without_an_end_is_left_for_a_later_page_when_whole_lines_are_wanted(tmp_path: Path) -> None:
    query = LogQuery(whole=True)
    write(tmp_path, b"one\ntw", b"x", "1.0 6 1\n")
    first = page(tmp_path, query)
    assert [part.bytes for part in first.parts] == [b"one\n"]
    write(tmp_path, b"one\ntwo\n", b"x", "1.0 6 1\n2.0 8 1\n")
    second = page(tmp_path, replace(query, cursor=first.cursor))
    assert said(list(second.parts)) == [(2.0, b"two\n")]
    last = page(tmp_path, LogQuery(cursor=second.cursor))
    assert [part.bytes for part in last.parts] == [b"x"]


def test_a_long_line_comes_in_parts(tmp_path: Path) -> None:
    line = b"x" * (5 * LINE_BYTES // 2)
    write(tmp_path, line + b"\nend\n", index=f"1.0 {LINE_BYTES // 2} 0\n2.0 {2 * LINE_BYTES} 0\n")
    assert of(parts(tmp_path, LogQuery(whole=True)), "stdout") == line + b"\nend\n"
    assert of(parts(tmp_path, LogQuery(limit=10_000)), "stdout") == line + b"\nend\n"


def test_since_begins_with_the_first_line_that_was_seen_then(tmp_path: Path) -> None:
    write(tmp_path, b"A\nBBB\nC\n", b"x\ny\n", "1.0 2 2\n2.0 4 2\n3.0 6 2\n4.0 6 4\n")
    assert of(parts(tmp_path, LogQuery(since=2.5)), "stdout") == b"BBB\nC\n", "the line that had no end before"
    assert of(parts(tmp_path, LogQuery(since=2.5)), "stderr") == b"y\n"
    os.utime(tmp_path / "stderr", (4.0, 4.0))
    found = parts(tmp_path, LogQuery(since=5.0))
    assert (of(found, "stdout"), of(found, "stderr")) == (b"C\n", b"")
    os.utime(tmp_path / "stdout", (4.5, 4.5))
    assert parts(tmp_path, LogQuery(since=5.0)) == []


def test_since_allows_for_coarse_times_of_files_and_rounded_times_of_the_index(tmp_path: Path) -> None:
    write(tmp_path, b"A\nB\n", index="1.000 2 0\n")
    os.utime(tmp_path / "stdout", (5.096, 5.096))
    assert of(parts(tmp_path, LogQuery(since=5.0999)), "stdout") == b"B\n", "nobody has looked yet"
    write(tmp_path, b"A\nB\n", index="1.000 2 0\n5.100 4 0\n")
    assert of(parts(tmp_path, LogQuery(since=5.1004)), "stdout") == b"B\n"


def test_since_is_found_in_a_long_index(tmp_path: Path) -> None:
    index = "".join(f"{second}.000 {10 * second} 0\n" for second in range(1, 20_001))
    write(tmp_path, b"".join(b"%09d\n" % number for number in range(20_000)), index=index)
    for second in (1, 2, 9_999, 19_999, 20_000):
        first = page(tmp_path, LogQuery(since=second)).parts[0]
        assert (first.at, first.bytes) == (second, b"%09d\n" % (second - 1))


def test_a_program_that_empties_its_log_is_read_from_its_begin(tmp_path: Path) -> None:
    write(tmp_path, b"long ago\n", index="1.0 9 0\n")
    first = page(tmp_path, LogQuery())
    write(tmp_path, b"new\n", index="1.0 9 0\n2.0 4 0\n")
    assert of(list(page(tmp_path, LogQuery(cursor=first.cursor)).parts), "stdout") == b"new\n"


@pytest.mark.parametrize("cursor", ["x", "1-2", "1-2-3-4", "-1-2-3", "1-2-3\n", "9" * 40 + "-0-0"])
def test_a_cursor_is_that_of_a_page(tmp_path: Path, cursor: str) -> None:
    with pytest.raises(InvalidInput, match="cursor"):
        page(tmp_path, LogQuery(cursor=cursor))


@pytest.mark.parametrize(
    "index", ["garbage\n", "1.0 99 99\n", "1.0 2 2\n1.1 0 0\n", "1.0 2", "nan 1 1\n", "\0\0\n" * 99]
)
def test_a_broken_index_costs_times_and_never_a_byte(tmp_path: Path, index: str) -> None:
    found = parts(write(tmp_path, b"A\nB\n", b"x\ny", index))
    assert (of(found, "stdout"), of(found, "stderr")) == (b"A\nB\n", b"x\ny")


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.booleans(), st.binary(max_size=6), st.booleans()), max_size=20),
    st.integers(1, 40),
    st.booleans(),
)
def test_pages_of_any_size_hold_every_byte_in_the_order_of_the_whole(
    tmp_path: Path, writes: list[tuple[bool, bytes, bool]], limit: int, whole: bool
) -> None:
    """Each write says whether it goes to stderr, its text, and whether the sizes were recorded after it."""
    streams, index = [b"", b""], ""
    for number, (to_error, text, looked) in enumerate(writes):
        streams[to_error] += text
        if looked:
            index += f"{number}.0 {len(streams[0])} {len(streams[1])}\n"
    streams = [text + b"\n" if text else b"" for text in streams]
    write(tmp_path, streams[0], streams[1], index)
    found = parts(tmp_path, LogQuery(limit=limit, whole=whole))
    assert [of(found, "stdout"), of(found, "stderr")] == streams
    in_one = parts(tmp_path)
    assert b"".join(part.bytes for part in in_one) == merged(tmp_path, 1 << 20)
    times = [part.at or 0.0 for part in in_one]
    assert times == sorted(times)

"""Merging stdout and stderr by the times at which they were seen."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fabric_jobs.executors import log_index
from fabric_jobs.executors.log_index import LogIndex


def merged(directory: Path, stdout: bytes, stderr: bytes, index: str | None = None, limit: int = 1 << 20) -> bytes:
    directory.mkdir(exist_ok=True)
    (directory / "stdout").write_bytes(stdout)
    (directory / "stderr").write_bytes(stderr)
    (directory / "index").unlink(missing_ok=True)
    if index is not None:
        (directory / "index").write_text(index)
    return log_index.merged(directory, limit)


def test_one_stream_alone_is_itself(tmp_path: Path) -> None:
    assert merged(tmp_path, b"a\nb", b"") == b"a\nb"
    assert merged(tmp_path, b"", b"a\nb") == b"a\nb"
    assert merged(tmp_path, b"", b"") == b""


def test_nothing_at_all_is_nothing(tmp_path: Path) -> None:
    assert log_index.merged(tmp_path / "gone", 100) == b""


def test_what_was_seen_first_comes_first(tmp_path: Path) -> None:
    index = "1.0 0 2\n1.1 2 2\n1.2 2 4\n"
    assert merged(tmp_path, b"A\nB\n", b"x\ny\n", index) == b"x\nA\ny\nB\n"


def test_without_an_index_stdout_comes_first(tmp_path: Path) -> None:
    assert merged(tmp_path, b"A\n", b"x\n") == b"A\nx\n"


def test_a_line_is_never_cut(tmp_path: Path) -> None:
    index = "1.0 2 0\n1.1 2 3\n1.2 4 3\n"  # half of AAA, then half of xxxx, then all of AAA
    assert merged(tmp_path, b"AAA\n", b"xxxx\n", index) == b"AAA\nxxxx\n"


def test_last_lines_without_a_newline_do_not_run_into_each_other(tmp_path: Path) -> None:
    found = merged(tmp_path, b"answer", b"warning\n", "1.0 0 8\n1.1 6 8\n")
    assert found == b"warning\nanswer"
    assert merged(tmp_path, b"answer", b"warning", "1.0 6 0\n1.1 6 7\n").splitlines() == [b"answer", b"warning"]


@pytest.mark.parametrize(
    "index",
    [
        "garbage\n",
        "1.0 x y\n",
        "1.0 1\n",
        "1.0 2 2 2\n",
        "1.0 99 99\n",
        "1.0 2 2\n1.1 0 0\n",
        "1.0 2 2\n1.1 2",
        "\0\0\n",
    ],
)
def test_a_broken_index_costs_the_order_and_never_a_byte(tmp_path: Path, index: str) -> None:
    assert sorted(merged(tmp_path, b"A\nB\n", b"x\ny\n", index).splitlines()) == [b"A", b"B", b"x", b"y"]


def test_an_index_that_is_no_text_costs_the_order_and_never_a_byte(tmp_path: Path) -> None:
    merged(tmp_path, b"A\n", b"x\n")
    (tmp_path / "index").write_bytes(b"\xff\xfe\n")
    assert sorted(log_index.merged(tmp_path, 100).splitlines()) == [b"A", b"x"]


def test_the_limit_holds_for_each_stream(tmp_path: Path) -> None:
    assert merged(tmp_path, b"AAAA\n", b"xxxx\n", "1.0 5 5\n", limit=3) in (b"AAAxxx", b"AAA\nxxx")


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3), st.booleans()), max_size=20))
def test_whole_lines_that_were_seen_one_by_one_come_in_the_order_in_which_they_were_printed(
    tmp_path: Path, lines: list[tuple[bool, int, bool]]
) -> None:
    """Each line: to stderr or not, how long, and whether the sizes were looked at after it."""
    streams, entries, groups = [b"", b""], "", [[]]  # type: ignore[var-annotated]
    for number, (to_error, length, looked) in enumerate(lines):
        line = f"{number}".encode() + b"x" * length + b"\n"
        streams[to_error] += line
        groups[-1].append((to_error, line))
        if looked:
            entries += f"{number}.0 {len(streams[0])} {len(streams[1])}\n"
            groups.append([])
    found = merged(tmp_path, streams[0], streams[1], entries)
    # Between two looks nobody knows: stdout, then stderr.
    assert found == b"".join(line for group in groups for _, line in sorted(group, key=lambda item: item[0]))


def test_the_thread_writes_down_what_it_sees(tmp_path: Path) -> None:
    """Each look is taken when the test says so."""
    looks, looked = threading.Semaphore(0), threading.Semaphore(0)

    class Clock(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            looked.release()
            return not looks.acquire(timeout=30) or self.is_set()

    index = LogIndex()
    index._closing = Clock()
    (tmp_path / "stdout").write_bytes(b"")
    (tmp_path / "stderr").write_bytes(b"")
    index.follow(tmp_path)
    assert looked.acquire(timeout=30)
    for stream, text in (("stderr", b"x\n"), ("stdout", b"A\n"), ("stderr", b"y\n")):
        with open(tmp_path / stream, "ab") as file:
            file.write(text)
        looks.release()
        assert looked.acquire(timeout=30)
    index.close()
    looks.release()
    assert log_index.merged(tmp_path, 100) == b"x\nA\ny\n"

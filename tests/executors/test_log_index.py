"""Stdout and stderr are merged by the times at which they were seen."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fabric_jobs.executors.attempt_files import pages
from fabric_jobs.executors.attempt_files.index import QUIET_SECONDS, SLOW_SECONDS, LogIndex


def merged(directory: Path, stdout: bytes, stderr: bytes, index: str | None = None, limit: int = 1 << 20) -> bytes:
    directory.mkdir(exist_ok=True)
    (directory / "stdout").write_bytes(stdout)
    (directory / "stderr").write_bytes(stderr)
    (directory / "index").unlink(missing_ok=True)
    if index is not None:
        (directory / "index").write_text(index)
    return pages.merged(directory, limit)


def test_one_stream_alone_is_itself(tmp_path: Path) -> None:
    assert merged(tmp_path, b"a\nb", b"") == b"a\nb"
    assert merged(tmp_path, b"", b"a\nb") == b"a\nb"
    assert merged(tmp_path, b"", b"") == b""


def test_nothing_at_all_is_nothing(tmp_path: Path) -> None:
    assert pages.merged(tmp_path / "gone", 100) == b""


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
    assert sorted(pages.merged(tmp_path, 100).splitlines()) == [b"A", b"x"]


def test_the_limit_holds_for_both_together(tmp_path: Path) -> None:
    assert merged(tmp_path, b"AAAA\n", b"xxxx\n", "1.0 5 5\n", limit=7) == b"AAAA\nxx"


def test_a_long_line_is_not_cut_by_the_other_stream(tmp_path: Path) -> None:
    """It may take any time to print."""
    line = b"A" * 200_000
    index = "".join(f"{number}.0 {10_000 * number} {2 * number}\n" for number in range(1, 21))
    found = merged(tmp_path, line + b"\n", b"x\n" * 20, index)
    assert sorted(found.splitlines()) == sorted([line, *[b"x"] * 20])


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3), st.booleans()), max_size=20))
def test_whole_lines_that_were_seen_one_by_one_come_in_the_order_in_which_they_were_printed(
    tmp_path: Path, lines: list[tuple[bool, int, bool]]
) -> None:
    """Each line says whether it goes to stderr, its length, and whether the sizes were recorded after it."""
    streams, entries, groups = [b"", b""], "", [[]]  # type: ignore[var-annotated]
    for number, (to_error, length, looked) in enumerate(lines):
        line = f"{number}".encode() + b"x" * length + b"\n"
        streams[to_error] += line
        groups[-1].append((to_error, line))
        if looked:
            entries += f"{number}.0 {len(streams[0])} {len(streams[1])}\n"
            groups.append([])
    found = merged(tmp_path, streams[0], streams[1], entries)
    # Between two looks the order is unknown: stdout, then stderr.
    assert found == b"".join(line for group in groups for _, line in sorted(group, key=lambda item: item[0]))


def write(directory: Path, stream: str, text: bytes) -> None:
    with open(directory / stream, "ab") as file:
        file.write(text)


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[LogIndex]:
    """Yield an index that the test polls itself, in place of its thread."""
    monkeypatch.setattr(LogIndex, "_run", lambda *_: None)
    made = LogIndex()
    yield made
    made.close()
    for descriptor in made._pipe or ():
        os.close(descriptor)
    if made._watch is not None:
        made._watch.close()


def test_each_look_writes_down_what_is_new(tmp_path: Path, index: LogIndex) -> None:
    for stream in ("stdout", "stderr"):
        write(tmp_path, stream, b"")
    index.follow(tmp_path)
    for number, (stream, text) in enumerate((("stderr", b"x\n"), ("stdout", b"A\n"), ("stderr", b"y\n"))):
        write(tmp_path, stream, text)
        index.look(float(number))
    assert pages.merged(tmp_path, 100) == b"x\nA\ny\n"


@pytest.mark.parametrize("has_watch", [True, False], ids=["inotify", "back-off"])
def test_a_quiet_log_is_not_looked_at_until_it_is_written_to(
    tmp_path: Path, index: LogIndex, has_watch: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    index._has_watch = has_watch
    for stream in ("stdout", "stderr"):
        write(tmp_path, stream, b"begin\n")
    index.follow(tmp_path)
    now = time.monotonic()
    index.look(now)
    index.look(now + QUIET_SECONDS)
    looks: list[Path] = []
    look = index._look

    def counted(directory: Path, log: Any) -> bool:
        looks.append(directory)
        return look(directory, log)

    monkeypatch.setattr(index, "_look", counted)
    for number in range(10):
        index.look(now + QUIET_SECONDS + number / 100)
    assert looks == []
    write(tmp_path, "stdout", b"more\n")
    index.look(now + 2 * QUIET_SECONDS + SLOW_SECONDS)
    assert (tmp_path / "index").read_text().splitlines()[-1].endswith(" 11 6")
    index.forget(tmp_path)


def test_the_thread_looks_at_what_is_followed(tmp_path: Path) -> None:
    index = LogIndex()
    write(tmp_path, "stdout", b"A\n")
    index.follow(tmp_path)
    deadline = time.monotonic() + 30
    while not (tmp_path / "index").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    index.close()
    assert (tmp_path / "index").read_text().split()[1:] == ["2", "0"]

"""What a container's log tells beyond what has arrived of its output."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric_jobs.executors.kubernetes.salvage import rest_of

LINES = st.lists(
    st.tuples(st.integers(0, 1), st.text("ab", max_size=3).map(lambda text: text.encode() + b"\n")), max_size=20
)


@given(LINES, st.integers(0, 60), st.integers(0, 60))
def test_nothing_of_the_log_is_lost_or_doubled(lines: list[tuple[int, bytes]], first: int, second: int) -> None:
    whole = [b"".join(line for number, line in lines if number == stream) for stream in (0, 1)]
    arrived = whole[0][:first], whole[1][:second]
    log = b"".join(line for _, line in lines)
    found = rest_of(log, *arrived)
    if not log:
        assert found is None
        return
    assert found is not None
    both = [known + rest for known, rest in zip(arrived, found, strict=True)]
    assert sorted(b"".join(both)) == sorted(log)


@given(LINES, st.integers(1, 60))
def test_what_is_missing_of_one_stream_goes_there(lines: list[tuple[int, bytes]], first: int) -> None:
    named = [(number, (b"o" if number == 0 else b"e") + line) for number, line in [(0, b"\n"), *lines]]
    stdout, stderr = (b"".join(line for number, line in named if number == stream) for stream in (0, 1))
    log = b"".join(line for _, line in named)
    assert rest_of(log, stdout[:first], stderr) == (stdout[first:], b"")


@pytest.mark.parametrize(
    ("log", "stdout", "stderr", "rest"),
    [
        (b"a\nb\n", b"", b"", (b"a\nb\n", b"")),
        (b"a\nb\n", b"a\nb\n", b"", (b"", b"")),
        (b"a\nb\nc", b"a\nb", b"", (b"\nc", b"")),
        (b"e\nf\n", b"", b"e\n", (b"", b"f\n")),
        (b"a\ne\nfabric_pod: gone.\n", b"a\n", b"e\n", (b"", b"fabric_pod: gone.\n")),
        (b"b\nc\n", b"a\nb\n", b"", (b"c\n", b"")),  # its beginning is gone
        (b"a\nb\n", b"x\n", b"", None),
        (b"a\n", b"a\nb\n", b"", None),
        (b"c\n", b"a\n", b"e\n", None),
        (b"", b"a\n", b"", None),
    ],
)
def test_examples(log: bytes, stdout: bytes, stderr: bytes, rest: tuple[bytes, bytes] | None) -> None:
    assert rest_of(log, stdout, stderr) == rest


def test_ten_megabytes_of_short_lines_are_read_fast() -> None:
    lines = [b"%d\n" % number for number in range(200_000)]
    log = b"".join(lines)
    assert rest_of(log, b"".join(lines[:-1]), b"") == (lines[-1], b"")
    same = b"x\n" * 20_000
    assert rest_of(same, same[:20_000], same[:18_000]) == (b"x\n" * 1000, b"")

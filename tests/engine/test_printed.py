"""The end of what an attempt printed, and the line that says why."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fabric_jobs.engine.printed import LAST_BYTES, LAST_LINES, NOTHING_PRINTED, exception_in, last_printed
from tests.executors.fake import FakeExecutor

TRACE = b"""Traceback (most recent call last):
  File "main.py", line 3, in <module>
    raise ValueError("bad")
ValueError: bad
"""
TEXTS = st.lists(st.sampled_from([b"x\n", b"\n", b"  indented\n", TRACE, b"y" * 5000 + b"\n", "žluť\n".encode()]))


def printed(**streams: bytes) -> FakeExecutor:
    executor = FakeExecutor()
    executor.output = {("h", stream): text for stream, text in streams.items()}
    return executor


@given(TEXTS, st.sampled_from([b"", b"the end", b"\n\n"]))
def test_the_offset_is_where_the_telling_line_begins(texts: list[bytes], end: bytes) -> None:
    whole = b"".join(texts) + end
    found = last_printed(printed(stderr=whole), "h")
    if not whole.strip():
        assert found == NOTHING_PRINTED
        return
    assert found.stream == "stderr"
    assert len(found.lines) <= LAST_LINES
    line = whole[found.offset :].split(b"\n")[0]
    begin = found.offset
    assert begin == 0 or whole[begin - 1 : begin] == b"\n" or begin == len(whole) - LAST_BYTES
    assert line.strip()
    told = exception_in(whole[-LAST_BYTES:].decode(errors="replace").split("\n"))
    if told:
        assert line == b"ValueError: bad" == told.encode()
        assert b"ValueError" not in whole[begin + len(line) :]
    else:
        assert not whole[begin + len(line) :].strip()


def test_without_stderr_it_is_stdout_and_without_both_nothing() -> None:
    assert last_printed(printed(stdout=b"a\nb\n", stderr=b" \n"), "h").offset == 2
    assert last_printed(printed(stdout=b"a\nb\n"), "h").stream == "stdout"
    assert last_printed(printed(), "h") == NOTHING_PRINTED


def test_a_token_is_masked_and_moves_no_offset() -> None:
    token = b"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln"
    found = last_printed(printed(stderr=b"token " + token + b"\nwhy\n"), "h")
    assert found.lines == ("token ***", "why")
    assert found.offset == len(token) + 7

"""Logs are printed: lines of several programs together, and bytes on a terminal."""

from __future__ import annotations

from typing import Any

import pytest

from fabric_jobs.cli.logs import _Printer, harmless, since_when
from fabric_jobs.client.logs import Part

PLAIN: dict[str, Any] = {"output": "text", "timestamps": False}


def part(text: bytes, *, skill: str = "a", stream: str = "stdout", at: float | None = 1.5) -> Part:
    return Part(skill, f"local-{skill}", 1, stream, at, text)


def printed(capfdbinary: pytest.CaptureFixture[bytes], printer: _Printer, *parts: Part | None) -> tuple[bytes, bytes]:
    printer.print(parts)
    out, err = capfdbinary.readouterr()
    return out, err


def test_streams_stay_apart_and_keep_every_byte(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    parts = [part(b"\xff\n\r\x00"), part(b"no end", stream="stderr"), None, part(b"on\n"), part(b"x", stream="stderr")]
    assert printed(capfdbinary, _Printer(PLAIN), *parts) == (b"\xff\n\r\x00on\n", b"no endx")


def test_a_line_that_goes_on_has_one_prefix_and_a_line_that_is_interrupted_has_two(
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    parts = [part(b"one\n\ntw"), None, part(b"o\nthr"), part(b"other\n", skill="bcd"), part(b"ee")]
    out, err = printed(capfdbinary, _Printer(PLAIN, prefix_width=3), *parts)
    assert out == b"a   | one\na   | \na   | two\na   | thr\nbcd | other\na   | ee\n"
    assert err == b""


def test_a_place_without_times_has_none(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    printer = _Printer({**PLAIN, "timestamps": True})
    parts = [part(b"one\n"), part(b"two\n", at=None)]
    assert printed(capfdbinary, printer, *parts)[0] == b"1970-01-01T00:00:01.500Z one\n- two\n"


def test_json_has_a_line_for_each_line(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    printer = _Printer({**PLAIN, "output": "json"})
    out, _ = printed(capfdbinary, printer, part(b'"\xff\n\n', at=None, stream="stderr"))
    assert out.splitlines() == [
        b'{"time": null, "stream": "stderr", "text": "\\"\\ufffd"}',
        b'{"time": null, "stream": "stderr", "text": ""}',
    ]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (b"tab\t return\r end\n", "tab\t return\r end\n"),
        ("Zürich 東京".encode(), "Zürich 東京"),
        (b"\x1b[1;31mred\x1b[0m \x1b[2K", "\x1b[1;31mred\x1b[0m \x1b[2K"),
        (b"\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        (b"\x1bc\x1b[2J\x1b[?1049h", "\\x1bc\\x1b[2J\\x1b[?1049h"),
        (b"\x00\x7f\xc2\x9b\xff", "\\x00\\x7f\\x9b�"),
    ],
)
def test_what_could_upset_a_terminal_is_shown_instead(text: bytes, shown: str) -> None:
    assert harmless(text) == shown


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-11-21T10:00:00Z", 1795255200.0),
        ("2026-11-21T10:00:00", 1795255200.0),
        ("2026-11-21T12:00:00+02:00", 1795255200.0),
        ("2026-11-21", 1795219200.0),
        ("1900-01-01", 0.0),
        ("99999d", 0.0),
    ],
)
def test_times_to_begin_with(text: str, seconds: float) -> None:
    assert since_when(text) == seconds


@pytest.mark.parametrize("text", ["", "yesterday", "5", "10x", "m", "2026-13-01"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match="10m"):
        since_when(text)

"""The live line of a push, and the plain lines where nobody watches."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import termios
from collections.abc import Iterator
from typing import TextIO

import pytest

from fabric_jobs.cli.terminal.push import PushProgress
from fabric_jobs.images.push import Layer, Pushing
from fabric_jobs.workspace.publishing.images import PlannedImage


def image(skill: str, action: str) -> PlannedImage:
    """Return an image that is pushed."""
    return PlannedImage(
        skill=skill, action=action, repository=f"localhost:5000/{action}", tag="0a", other_tag="latest", push=True
    )


ONE, MORE = image("one", "one"), image("one", "more")
HALF = Pushing(layers={"a": Layer(done=True), "b": Layer(sent_bytes=1_500_000, all_bytes=3_000_000)})
BROKEN = Pushing(
    layers={"a": Layer(done=True), "b": Layer(sent_bytes=1_500_000, all_bytes=3_000_000, note="the connection broke")}
)


@pytest.fixture
def terminal() -> Iterator[tuple[TextIO, int]]:
    """A terminal to write to, and where to read what it shows."""
    master, slave = pty.openpty()
    with os.fdopen(slave, "w") as stream:
        yield stream, master
    os.close(master)


def shown(terminal: tuple[TextIO, int]) -> list[str]:
    """Return the lines that were drawn; a terminal hands them on in parts."""
    stream, master = terminal
    stream.write("\0")
    stream.flush()
    drawn = b""
    while not drawn.endswith(b"\0"):
        drawn += os.read(master, 65_536)
    lines = re.split(r"[\r\n]*\x1b\[2K", drawn.decode().rstrip("\0"))
    return [line.rstrip() for line in lines if line.strip()]


def test_a_terminal_shows_one_line_that_stays_when_the_image_is_pushed(terminal: tuple[TextIO, int]) -> None:
    progress = PushProgress([ONE, MORE], stream=terminal[0])
    progress.update(ONE, HALF)
    progress.update(ONE, None)
    progress.update(MORE, HALF)
    progress.close()
    drawn = shown(terminal)
    assert drawn == [
        "  one       pushing       0.0 s  1 of 2 layers, 1.5 MB of 3.0 MB",
        "  one       pushed        0.0 s",
        "  one more  pushing       0.0 s  1 of 2 layers, 1.5 MB of 3.0 MB",
    ]


@pytest.mark.parametrize("columns", [20, 40, 50, 60, 80, 200])
def test_a_narrow_terminal_never_shows_a_part_of_a_figure(terminal: tuple[TextIO, int], columns: int) -> None:
    stream, _ = terminal
    fcntl.ioctl(stream.fileno(), termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    PushProgress([ONE], stream=stream).update(ONE, BROKEN)
    (line,) = shown(terminal)
    assert len(line) < max(21, columns)
    found = [part for part in line.split("  ")[-1].split(", ") if "of" in part or "broke" in part]
    assert found == ["1 of 2 layers", "1.5 MB of 3.0 MB", "the connection broke"][: len(found)]


def test_elsewhere_beginning_and_end_are_told_and_once_what_went_wrong() -> None:
    stream = io.StringIO()
    progress = PushProgress([ONE, MORE], stream=stream)
    for now in (HALF, BROKEN, BROKEN, HALF, None):
        progress.update(ONE, now)
    assert stream.getvalue().splitlines() == [
        "one       pushing localhost:5000/one:0a …",
        "one       1 of 2 layers, 1.5 MB of 3.0 MB, the connection broke",
        "one       pushed        0.0 s",
    ]


def test_elsewhere_it_is_told_now_and_then_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("fabric_jobs.cli.terminal.push.time.monotonic", lambda: now[0])
    stream = io.StringIO()
    progress = PushProgress([ONE], stream=stream)
    for step in (0.0, 4.0, 2.0, 1.0):
        now[0] += step
        progress.update(ONE, Pushing(layers={}) if now[0] == 100.0 else HALF)
    assert stream.getvalue().splitlines()[1:] == ["one  1 of 2 layers, 1.5 MB of 3.0 MB"]


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    progress = PushProgress([ONE], quiet=True)
    progress.update(ONE, HALF)
    progress.update(ONE, None)
    progress.close()
    assert capsys.readouterr().err == ""

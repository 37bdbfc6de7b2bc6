"""The live lines of builds: one per image, drawn over; plain lines elsewhere; failures in full everywhere."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import pytest

from fabric_jobs.cli.terminal.build import BuildProgress, fitting
from fabric_jobs.images.building import ImageBuild
from fabric_jobs.workspace.build import BuildStatus, PlannedBuild


def row(skill: str, action: str = "", **values: Any) -> BuildStatus:
    build = ImageBuild(directory=Path("/w"), names=(f"{skill}:1", f"{skill}:latest"))
    return BuildStatus(PlannedBuild(skill=skill, action=action or skill, build=build), **values)


@pytest.fixture
def terminal() -> Iterator[tuple[TextIO, int]]:
    """A terminal of 60 columns and 6 lines to write to, and where to read what it shows."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 6, 60, 0, 0))
    with os.fdopen(slave, "w") as stream:
        yield stream, master
    os.close(master)


def shown(master: int, *, lines: int = 2) -> list[str]:
    """Return so many lines."""
    text = ""
    while text.count("\n") < lines:
        text += os.read(master, 65_536).decode()
    return re.sub(r"\x1b\[\d*[A-Z]", "", text).splitlines()


def test_a_terminal_shows_a_line_per_image_and_draws_over_it(terminal: tuple[TextIO, int]) -> None:
    stream, master = terminal
    progress = BuildProgress(stream=stream)
    rows = [row("one", state="building", seconds=1.25, step="[2/3] RUN pip install -r " + "x" * 60), row("two", "load")]
    progress.update(rows)
    first, second = shown(master)
    assert first.startswith("  one       building      1.2 s  [2/3] RUN pip")
    assert len(first) < 60
    assert second == "  two load  waiting"
    progress.update(rows)
    rows[0].state = "built"
    progress.update(rows)
    assert os.read(master, 65_536).startswith(b"\x1b[2A\x1b[2K  one       built         1.2 s\r\n")


def test_a_failure_is_shown_whole_above_the_lines(terminal: tuple[TextIO, int]) -> None:
    stream, master = terminal
    progress = BuildProgress(stream=stream)
    rows = [row("one", state="building"), row("two", state="building")]
    progress.update(rows)
    shown(master)
    rows[0].state, rows[0].failure = "failed", "[2/2] RUN make\n" + "x" * 200
    progress.update(rows)
    assert shown(master, lines=6) == [
        "one failed:",
        "[2/2] RUN make",
        "x" * 200,
        "",
        "  one  failed",
        "  two  building",
    ]


def test_elsewhere_each_change_is_a_line_of_its_own() -> None:
    stream = io.StringIO()
    progress = BuildProgress(stream=stream)
    rows = [row("one"), row("two"), row("three")]
    for states in (
        ("building", "waiting", "unchanged"),
        ("building", "building", "unchanged"),
        ("built", "failed", ""),
    ):
        for one, state in zip(rows, states, strict=True):
            one.state, one.seconds, one.failure = state or one.state, 3.21, "broken"
        progress.update(rows)
        progress.update(rows)
    assert stream.getvalue().splitlines() == [
        "one: building …",
        "three: unchanged",
        "two: building …",
        "one: built in 3.2 s",
        "two failed:",
        "broken",
        "",
    ]


def test_quiet_shows_failures_only_and_a_closed_stream_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = io.StringIO()
    quiet = BuildProgress(quiet=True, stream=stream)
    monkeypatch.setattr("fabric_jobs.cli.terminal.build.sys.stderr", None)
    for progress in (quiet, BuildProgress()):
        progress.update([row("one", state="building"), row("two", state="failed", failure="broken")])
        progress.close()
    assert stream.getvalue() == "two failed:\nbroken\n\n"
    assert capsys.readouterr().out == ""


def test_more_images_than_lines_are_counted() -> None:
    lines = [
        f"  {number}  {state}" for number, state in enumerate(["built", "building", "waiting", "building", "failed"])
    ]
    assert fitting(lines, 5) == lines
    assert fitting(lines, 4) == ["  1  building", "  3  building", "  … and 3 more"]
    assert fitting(lines, 2) == ["  1  building", "  … and 4 more"]

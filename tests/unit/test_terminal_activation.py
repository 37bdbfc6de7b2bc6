"""The live lines of an activation: whole figures, in the width that there is."""

from __future__ import annotations

import io
import os
import pty
import re
from collections.abc import Iterator
from typing import Any, TextIO

import pytest

from fabric_jobs.cli.terminal.activation import LIVE_SECONDS, PLAIN_SECONDS, Progress


def node(skill: str, **values: Any) -> dict[str, Any]:
    return {"skill": skill, "node": f"{skill}.in", "in": 0, "out": 0, "waiting": 0, "tasks": {}, **values}


@pytest.fixture
def terminal() -> Iterator[tuple[TextIO, int]]:
    """A terminal to write to, and where to read what it shows."""
    master, slave = pty.openpty()
    with os.fdopen(slave, "w") as stream:
        yield stream, master
    os.close(master)


def shown(master: int) -> list[str]:
    text = os.read(master, 65_536).decode()
    return re.sub(r"\x1b\[\d*[A-Z]", "", text).splitlines()


def test_a_terminal_shows_a_line_per_skill_and_draws_over_it(terminal: tuple[TextIO, int]) -> None:
    stream, master = terminal
    progress = Progress(stream=stream)
    progress.update([node("one", **{"in": 1, "out": 27_004, "tasks": {"ACTIVE": 1}}), node("second")])
    lines = shown(master)
    assert lines[0].split() == ["one", "running", "in", "1", "out", "27,004", "waiting", "0", "0/s"]
    assert lines[1].split() == ["second", "idle", "in", "0", "out", "0", "waiting", "0", "0/s"]
    assert [line.index("out") for line in lines] == [lines[0].index("out")] * 2
    progress.update([node("one", tasks={"COMPLETE": 1}), node("second")])
    assert os.read(master, 65_536).startswith(b"\x1b[2A")
    assert progress.interval == LIVE_SECONDS


@pytest.mark.parametrize("columns", [20, 30, 60, 70, 80, 200])
def test_a_narrow_terminal_never_shows_a_part_of_a_figure(columns: int) -> None:
    progress = Progress(stream=io.StringIO())
    progress.update([node("a-skill-of-some-length", **{"in": 123_456_789, "out": 123_456_789, "waiting": 65_536})])
    (line,) = progress._text(columns)
    assert len(line) < columns or line.split() == ["a-skill-of-some-length", "idle"]
    assert set(line.split()[2::2]) <= {"in", "out", "waiting", "0/s"}
    assert set(re.findall(r"[\d,]{2,}", line)) <= {"123,456,789", "65,536"}


def test_elsewhere_plain_lines_come_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("fabric_jobs.cli.terminal.activation.time.monotonic", lambda: now[0])
    stream = io.StringIO()
    progress = Progress(stream=stream)
    progress.update([node("one")])
    assert stream.getvalue() == ""
    now[0] += PLAIN_SECONDS
    progress.update([node("one", **{"in": 600, "waiting": 100, "out": 500, "tasks": {"ACTIVE": 1}})])
    progress.update([node("one")])
    assert stream.getvalue().split() == ["one", "running", "in", "600", "out", "500", "waiting", "100", "100/s"]
    assert "\x1b" not in stream.getvalue()


def test_quiet_and_closed_streams_show_nothing(monkeypatch: pytest.MonkeyPatch, terminal: tuple[TextIO, int]) -> None:
    quiet = Progress(quiet=True, stream=terminal[0])
    monkeypatch.setattr("fabric_jobs.cli.terminal.activation.sys.stderr", None)
    for progress in (quiet, Progress()):
        progress.update([node("one")])
        progress.close()
    terminal[0].write("nothing before\n")
    terminal[0].flush()
    assert shown(terminal[1]) == ["nothing before"]


@pytest.mark.parametrize(
    ("tasks", "word"),
    [
        ({}, "idle"),
        ({"COMPLETE": 3}, "done"),
        ({"COMPLETE": 3, "ACTIVE": 1}, "running"),
        ({"QUEUED": 3, "COMPLETE": 1}, "queued"),
        ({"FAILED": 1, "CANCELLED": 5, "ACTIVE": 1}, "failed"),
        ({"TIMEOUT": 1}, "timeout"),
        ({"CANCELLED": 1}, "stopped"),
    ],
)
def test_one_word_says_how_a_skill_is(tasks: dict[str, int], word: str) -> None:
    progress = Progress(stream=io.StringIO())
    progress.update([node("one", tasks=tasks)])
    assert progress._text()[0].split()[1] == word


NOTED = node("one", tasks={"ACTIVE": 1}, note="installing requirements: Collecting numpy", remarks=["line 1", "line 2"])


def test_where_nobody_watches_a_note_and_a_remark_are_said_once() -> None:
    stream = io.StringIO()
    progress = Progress(stream=stream)
    for note in ("installing requirements", "installing requirements: Collecting numpy", ""):
        progress.update([node("one", note=note, remarks=["line 1", "line 2"])])
    assert stream.getvalue().splitlines() == [
        "one: line 1 (1 more: fabric-jobs workspaces lint)",
        "one: installing requirements …",
    ]


def test_a_terminal_shows_what_a_program_waits_for_below_the_remarks(terminal: tuple[TextIO, int]) -> None:
    stream, master = terminal
    progress = Progress(stream=stream)
    progress.update([node("one")])
    assert os.read(master, 65_536)
    progress.update([NOTED, node("second")])
    text = ""
    while "second" not in text or not text.endswith("\n"):
        text += os.read(master, 65_536).decode()
    assert text.startswith("\x1b[1A\x1b[J")
    lines = re.sub(r"\x1b\[\d*[A-Z]", "", text).splitlines()
    assert lines[0] == "one: line 1 (1 more: fabric-jobs workspaces lint)"
    assert lines[1].split(maxsplit=2) == ["one", "starting", "installing requirements: Collecting numpy"]
    assert lines[2].split()[:2] == ["second", "idle"]


def test_quiet_says_no_note() -> None:
    stream = io.StringIO()
    Progress(quiet=True, stream=stream).update([NOTED])
    assert stream.getvalue() == ""

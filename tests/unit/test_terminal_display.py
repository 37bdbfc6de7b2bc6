"""The live display of runs, builds and pushes: whole figures that fit a terminal, and plain lines elsewhere."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import termios
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

import pytest

from fabric_jobs.cli.terminal.activation import Skills, row_of
from fabric_jobs.cli.terminal.display import LIVE_SECONDS, PLAIN_SECONDS, Display, Row, lines_of
from fabric_jobs.cli.terminal.images import Pushes, show_builds
from fabric_jobs.images.building import ImageBuild
from fabric_jobs.images.push import Layer, Pushing
from fabric_jobs.workspace.build import BuildStatus, PlannedBuild
from fabric_jobs.workspace.publishing.images import PlannedImage

Shown = Callable[[], str]


@pytest.fixture(autouse=True)
def _term(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")


@pytest.fixture
def terminal() -> Iterator[tuple[TextIO, Shown]]:
    """Yield a terminal of 60 columns and 6 lines, and a function that returns what was written since its last call."""
    master, slave = pty.openpty()
    resize(slave, 60, 6)
    with os.fdopen(slave, "w") as stream:

        def shown() -> str:
            stream.write("\0")  # a terminal passes output on in parts
            stream.flush()
            drawn = b""
            while not drawn.endswith(b"\0"):
                drawn += os.read(master, 65_536)
            return drawn.decode().rstrip("\0").replace("\r\n", "\n")

        yield stream, shown
    os.close(master)


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Replace the clock by a list with the time."""
    clock = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    return clock


def resize(descriptor: int, columns: int, lines: int) -> None:
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))


def text_lines(drawn: str) -> list[str]:
    return re.sub(r"\x1b\[\d*[A-Z]", "", drawn).splitlines()


def node(skill: str, **values: Any) -> dict[str, Any]:
    return {"skill": skill, "node": f"{skill}.in", "in": 0, "out": 0, "waiting": 0, "tasks": {}, **values}


def built(skill: str, action: str = "", **values: Any) -> BuildStatus:
    image = ImageBuild(directory=Path("/w"), names=(f"{skill}:1", f"{skill}:latest"))
    return BuildStatus(PlannedBuild(skill=skill, action=action or skill, build=image), **values)


def pushed(skill: str, action: str) -> PlannedImage:
    return PlannedImage(
        skill=skill, action=action, repository=f"localhost:5000/{action}", tag="0a", other_tag="latest", push=True
    )


ONE, MORE = pushed("one", "one"), pushed("one", "more")
HALF = Pushing(layers={"a": Layer(done=True), "b": Layer(sent_bytes=1_500_000, all_bytes=3_000_000)})
BROKEN = Pushing(
    layers={"a": Layer(done=True), "b": Layer(sent_bytes=1_500_000, all_bytes=3_000_000, note="the connection broke")}
)


# The display


def test_what_is_shown_is_drawn_over_and_what_is_said_stays_above(terminal: tuple[TextIO, Shown]) -> None:
    stream, shown = terminal
    with Display(stream=stream) as live:
        live.show([Row(label="one", state="a"), Row(label="two", state="b")])
        assert shown() == "\x1b[2K  one  a\n\x1b[2K  two  b\n"
        live.show([Row(label="one", state="a"), Row(label="two", state="b")])
        assert shown() == ""
        live.show([Row(label="one", state="a"), Row(label="two", state="c")])
        assert shown() == "\x1b[2A\x1b[2K  one  a\n\x1b[2K  two  c\n"
        live.once("key", "said")
        live.once("key", "said")
        assert shown() == "\x1b[2A\x1b[Jsaid\n"
        live.show([Row(label="one", state="a"), Row(label="two", state="c")])
        shown()
        live.show([Row(label="one", state="a")])
    assert shown() == "\x1b[2A\x1b[2K  one  a\n\x1b[J"
    assert live.interval == LIVE_SECONDS


def test_a_line_of_its_own_is_gone_in_the_end(terminal: tuple[TextIO, Shown]) -> None:
    stream, shown = terminal
    with Display(stream=stream, stays=False) as live:
        live.show_line("x" * 100)
        assert shown() == f"\x1b[2K{'x' * 59}\n"
        live.show_line("")
        assert shown() == "\x1b[1A\x1b[J"
        live.show_line("y")
        shown()
    assert shown() == "\x1b[1A\x1b[J"


def test_a_window_that_changes_its_size_is_drawn_as_it_is(terminal: tuple[TextIO, Shown]) -> None:
    stream, shown = terminal
    live = Display(stream=stream)
    rows = [Row(label="a", state="b", figures=("1,234", "5,678"))]
    live.show(rows)
    assert "5,678" in shown()
    resize(stream.fileno(), 24, 6)  # the line of 28 characters now takes two lines
    live.show(rows)
    drawn = shown()
    assert text_lines(drawn) == ["  a  b          1,234"]
    assert drawn.startswith("\x1b[2A")
    assert drawn.endswith("\x1b[J")


def test_a_dumb_terminal_gets_plain_lines(
    terminal: tuple[TextIO, Shown], monkeypatch: pytest.MonkeyPatch, now: list[float]
) -> None:
    monkeypatch.setenv("TERM", "dumb")
    stream, shown = terminal
    plain = Display(stream=stream)
    now[0] += PLAIN_SECONDS
    plain.show([Row(label="one", state="a")])
    assert shown() == "one  a\n"


def test_elsewhere_rows_that_are_going_are_told_now_and_then(now: list[float]) -> None:
    stream = io.StringIO()
    plain = Display(stream=stream)
    for step in (0.0, PLAIN_SECONDS - 1, 1.0, 1.0):
        now[0] += step
        plain.show([Row(label="one", state="a"), Row(label="two", state="b", is_going=False)])
        plain.show_line("not yet")
    now[0] += PLAIN_SECONDS
    plain.show_line("a line")
    plain.close()
    assert stream.getvalue() == "one  a\na line\n"
    assert plain.interval == PLAIN_SECONDS


def test_quiet_and_closed_streams_show_nothing(
    monkeypatch: pytest.MonkeyPatch, terminal: tuple[TextIO, Shown], now: list[float]
) -> None:
    stream, shown = terminal
    quiet = Display(quiet=True, stream=stream)
    monkeypatch.setattr("sys.stderr", None)
    for one in (quiet, Display()):
        now[0] += PLAIN_SECONDS
        one.show([Row(label="one", state="a")])
        one.show_line("a line")
        one.close()
    Display().say("nobody hears it")
    assert shown() == ""
    quiet.say("a failure")
    assert shown() == "a failure\n"


@pytest.mark.parametrize("columns", [20, 30, 60, 70, 80, 200])
def test_a_narrow_terminal_never_shows_a_part_of_a_figure(columns: int) -> None:
    row = row_of(node("a-skill-of-some-length", **{"in": 123_456_789, "out": 123_456_789, "waiting": 65_536}))
    (line,) = lines_of([row], columns)
    assert len(line) < columns or (columns == 20 and len(line) == 20)
    assert set(line.split()[2::2]) <= {"in", "out", "waiting", "0/s"}
    assert set(re.findall(r"[\d,]{2,}", line)) <= {"123,456,789", "65,536"}


def test_what_failed_is_the_last_figure_to_go() -> None:
    rows = [row_of(node("one", failed=3, tasks={"FAILED": 1})), row_of(node("second"))]
    wide, narrow = lines_of(rows), lines_of(rows, 36)
    assert wide[0].split()[:5] == ["one", "failed", "failed", "3", "in"]
    assert wide[0].index("in  ") == wide[1].index("in  ")
    assert [line.split() for line in narrow] == [["one", "failed", "failed", "3"], ["second", "idle"]]


def test_rows_that_would_scroll_away_are_counted_and_those_that_are_going_come_first() -> None:
    rows = [Row(label=str(number), state="s", is_going=number in (1, 3)) for number in range(5)]
    assert len(lines_of(rows, lines=6)) == 5
    assert lines_of(rows, lines=5) == ["  1  s", "  3  s", "  … and 3 more"]
    assert lines_of(rows, lines=3) == ["  1  s", "  … and 4 more"]
    assert lines_of(rows, lines=1) == ["  … and 5 more"]


# Runs


def test_a_run_has_a_line_per_skill(terminal: tuple[TextIO, Shown]) -> None:
    stream, shown = terminal
    resize(stream.fileno(), 80, 6)
    skills = Skills(Display(stream=stream))
    skills.update([node("one", **{"in": 1, "out": 27_004, "tasks": {"ACTIVE": 1}}), node("second")])
    lines = text_lines(shown())
    assert lines[0].split() == ["one", "running", "in", "1", "out", "27,004", "waiting", "0", "0/s"]
    assert lines[1].split() == ["second", "idle", "in", "0", "out", "0", "waiting", "0", "0/s"]
    assert [line.index("out") for line in lines] == [lines[0].index("out")] * 2
    skills.update([node("one", tasks={"COMPLETE": 1}), node("second")])
    assert shown().startswith("\x1b[2A")


def test_elsewhere_a_run_says_now_and_then_how_fast_it_is(now: list[float]) -> None:
    stream = io.StringIO()
    skills = Skills(Display(stream=stream))
    skills.update([node("one")])
    assert stream.getvalue() == ""
    now[0] += PLAIN_SECONDS
    skills.update([node("one", **{"in": 600, "waiting": 100, "out": 500, "tasks": {"ACTIVE": 1}}), node("two")])
    skills.update([node("one")])
    assert stream.getvalue().split() == ["one", "running", "in", "600", "out", "500", "waiting", "100", "100/s"]


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
    row = row_of(node("one", tasks=tasks))
    assert row.state == word
    assert row.is_going is bool(tasks.keys() & {"ACTIVE", "QUEUED"})


NOTED = node("one", tasks={"ACTIVE": 1}, note="installing requirements: Collecting numpy", remarks=["line 1", "line 2"])


def test_where_nobody_watches_a_note_and_a_remark_are_said_once() -> None:
    stream = io.StringIO()
    skills = Skills(Display(stream=stream))
    for note in ("installing requirements", "installing requirements: Collecting numpy", ""):
        skills.update([node("one", note=note, remarks=["line 1", "line 2"])])
    assert stream.getvalue().splitlines() == [
        "one: line 1 (1 more: fabric-jobs workspaces lint)",
        "one: installing requirements …",
    ]


def test_a_terminal_shows_what_a_program_waits_for_below_the_remarks(terminal: tuple[TextIO, Shown]) -> None:
    stream, shown = terminal
    skills = Skills(Display(stream=stream))
    skills.update([node("one")])
    shown()
    skills.update([NOTED, node("second")])
    text = shown()
    assert text.startswith("\x1b[1A\x1b[J")
    lines = text_lines(text)
    assert lines[0] == "one: line 1 (1 more: fabric-jobs workspaces lint)"
    assert lines[1].split(maxsplit=2)[:2] == ["one", "starting"]
    assert "installing requirements: Coll" in lines[1]
    assert lines[2].split()[:2] == ["second", "idle"]


def test_quiet_says_no_note() -> None:
    stream = io.StringIO()
    Skills(Display(quiet=True, stream=stream)).update([NOTED])
    assert stream.getvalue() == ""


# Builds


def test_a_build_has_a_line_per_image(terminal: tuple[TextIO, Shown]) -> None:
    stream, shown = terminal
    live = Display(stream=stream)
    rows = [
        built("one", state="building", seconds=1.25, step="[2/3] RUN pip install -r " + "x" * 60),
        built("two", "load"),
    ]
    show_builds(live, rows)
    first, second = text_lines(shown())
    assert first.startswith("  one       building       1.2s  [2/3] RUN pip")
    assert len(first) < 60
    assert second == "  two load  waiting"
    rows[0].state = "built"
    show_builds(live, rows)
    assert shown().startswith("\x1b[2A\x1b[2K  one       built          1.2s\n")


def test_a_failure_is_shown_whole_above_the_lines(terminal: tuple[TextIO, Shown]) -> None:
    stream, shown = terminal
    live = Display(stream=stream)
    rows = [built("one", state="building"), built("two", state="building")]
    show_builds(live, rows)
    shown()
    rows[0].state, rows[0].failure = "failed", "[2/2] RUN make\n" + "x" * 200
    show_builds(live, rows)
    show_builds(live, rows)
    assert text_lines(shown()) == [
        "one failed:",
        "[2/2] RUN make",
        "x" * 200,
        "",
        "  one  failed",
        "  two  building",
    ]


def test_elsewhere_each_change_of_a_build_is_a_line_of_its_own() -> None:
    stream = io.StringIO()
    plain = Display(stream=stream)
    rows = [built("one"), built("two"), built("three")]
    for states in (
        ("building", "waiting", "unchanged"),
        ("building", "building", "unchanged"),
        ("built", "failed", ""),
    ):
        for one, state in zip(rows, states, strict=True):
            one.state, one.seconds, one.failure = state or one.state, 3.21, "broken"
        show_builds(plain, rows)
        show_builds(plain, rows)
    assert stream.getvalue().splitlines() == [
        "one: building …",
        "three: unchanged",
        "two: building …",
        "one: built in 3.2s",
        "two failed:",
        "broken",
        "",
    ]


def test_a_quiet_build_tells_of_failures_only() -> None:
    stream = io.StringIO()
    rows = [built("one", state="building"), built("two", state="failed", failure="broken")]
    show_builds(Display(quiet=True, stream=stream), rows)
    assert stream.getvalue() == "two failed:\nbroken\n\n"


# Pushes


def test_a_push_has_a_line_per_image_that_stays(terminal: tuple[TextIO, Shown], now: list[float]) -> None:
    stream, shown = terminal
    pushes = Pushes(Display(stream=stream), [ONE, MORE])
    pushes.update(ONE, HALF)
    now[0] += 2
    pushes.update(ONE, HALF)
    shown()
    pushes.update(ONE, None)
    pushes.update(MORE, HALF)
    now[0] += 90
    pushes.update(MORE, BROKEN)
    assert text_lines(shown())[-2:] == [
        "  one       pushed         2.0s",
        "  one more  pushing       1m30s  1 of 2 layers  the connect",
    ]
    resize(stream.fileno(), 100, 24)
    pushes.update(MORE, BROKEN)
    assert text_lines(shown())[-1].endswith("1m30s  1 of 2 layers  1.5MB of 3.0MB  the connection broke")


def test_elsewhere_beginning_and_end_of_a_push_are_told_and_once_what_went_wrong(now: list[float]) -> None:
    stream = io.StringIO()
    pushes = Pushes(Display(stream=stream), [ONE, MORE])
    for one in (HALF, BROKEN, BROKEN, HALF, BROKEN, None):
        pushes.update(ONE, one)
    now[0] += PLAIN_SECONDS
    pushes.update(MORE, HALF)
    assert stream.getvalue().splitlines() == [
        "one: pushing localhost:5000/one:0a …",
        "one: 1 of 2 layers, 1.5MB of 3.0MB, the connection broke",
        "one: pushed in 0.0s",
        "one more: pushing localhost:5000/more:0a …",
        "one more  pushing              1 of 2 layers  1.5MB of 3.0MB",
    ]


def test_an_image_of_two_actions_has_one_line(terminal: tuple[TextIO, Shown]) -> None:
    stream, shown = terminal
    pushes = Pushes(Display(stream=stream), [ONE, pushed("two", "one")])
    pushes.update(pushed("two", "one"), None)
    assert [line.split()[:3] for line in text_lines(shown())] == [["two", "one", "pushed"]]


def test_a_quiet_push_says_nothing() -> None:
    stream = io.StringIO()
    pushes = Pushes(Display(quiet=True, stream=stream), [ONE])
    for one in (HALF, BROKEN, None):
        pushes.update(ONE, one)
    assert stream.getvalue() == ""

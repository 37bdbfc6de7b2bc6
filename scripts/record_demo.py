"""Records `make demo` in a terminal and draws it as an animated SVG, docs/images/demo.svg: python scripts/record_demo.py.

The demo really runs, in a fresh copy of the last commit, installation included. Only pauses are shortened. A viewer that does
not support animation shows the last picture.
"""

from __future__ import annotations

import html
import os
import pty
import subprocess
import tempfile
import termios
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import pyte

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "images" / "demo.svg"
COMMAND = "make demo"
COLUMNS, ROWS = 100, 40
LONGEST_PAUSE = 0.8  # seconds; the installation is one long pause
LAST_PAUSE = 8.0  # before the animation begins again
CELL_WIDTH, CELL_HEIGHT, MARGIN = 8.4, 18, 16  # pixels
COLOURS = {
    "default": "#d5dae1",
    "green": "#8fcf8f",
    "red": "#f08080",
    "yellow": "#e5c07b",
    "blue": "#7fb4f0",
    "cyan": "#6fcfd0",
}
FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"

Run = tuple[int, str, str]  # column, colour, text
Line = tuple[Run, ...]


@dataclass(frozen=True, kw_only=True)
class Frame:
    """The terminal's content from one moment on."""

    at: float
    lines: tuple[Line, ...]


def record(directory: Path) -> Iterator[Frame]:
    """Run the command in its own terminal, and yield the content whenever it changes."""
    screen = pyte.Screen(COLUMNS, ROWS)
    stream = pyte.ByteStream(screen)
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (ROWS, COLUMNS))
    environment = {**os.environ, "TERM": "xterm-256color"}
    process = subprocess.Popen(
        COMMAND, shell=True, cwd=directory, env=environment, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    stream.feed(f"$ {COMMAND}\r\n".encode())
    yield Frame(at=0.0, lines=picture(screen))
    started = time.monotonic()
    while output := read(ours):
        stream.feed(output)
        yield Frame(at=time.monotonic() - started, lines=picture(screen))
    os.close(ours)
    if process.wait() != 0:
        raise SystemExit(f"{COMMAND} ended with exit code {process.returncode}")


def read(terminal: int) -> bytes:
    """Return the next output; empty at the end."""
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux: EIO once the last writer is gone
        return b""


def picture(screen: pyte.Screen) -> tuple[Line, ...]:
    """Return the lines of a screen, each as runs of one colour."""
    return tuple(tuple(runs(screen, row)) for row in range(screen.lines))


def runs(screen: pyte.Screen, row: int) -> Iterator[Run]:
    """Yield a line's runs of one colour, without surrounding blanks."""
    cells = [(column, screen.buffer[row][column]) for column in range(screen.columns)]
    for colour, found in groupby(cells, key=lambda cell: cell[1].fg):
        part = list(found)
        text = "".join(cell.data for _, cell in part)
        if text.strip():
            yield part[0][0] + len(text) - len(text.lstrip()), colour, text.strip()


def shortened(frames: list[Frame]) -> list[Frame]:
    """Return the frames with pauses cut to LONGEST_PAUSE."""
    kept: list[Frame] = []
    at = before = 0.0
    for frame in frames:
        at += min(frame.at - before, LONGEST_PAUSE)
        before = frame.at
        kept.append(Frame(at=at, lines=frame.lines))
    return kept


def spans(frames: list[Frame], row: int) -> Iterator[tuple[float, float, Line]]:
    """Yield the contents of one row, each with its start and end time."""
    end = frames[-1].at + LAST_PAUSE
    changes = [(next(group).at, line) for line, group in groupby(frames, key=lambda frame: frame.lines[row])]
    for (start, line), after in zip(changes, [*(at for at, _ in changes[1:]), end], strict=True):
        if line:
            yield start, after, line


def draw(frames: list[Frame]) -> str:
    """Return the SVG: every line that was ever shown, visible during its time."""
    total = frames[-1].at + LAST_PAUSE
    styles: list[str] = []
    texts: list[str] = []
    for row in range(ROWS):
        for start, after, line in spans(frames, row):
            name = f"f{len(texts)}"
            last = after == total
            if start > 0 or not last:
                steps = f"0%{{opacity:{int(start == 0)}}}"
                steps += f"{percent(start, total)}{{opacity:1}}" if start > 0 else ""
                steps += "" if last else f"{percent(after, total)}{{opacity:0}}"
                styles.append(f"@keyframes {name}{{{steps}}}.{name}{{animation:{name} {total:.2f}s step-end infinite}}")
            shown = "".join(text_of(run) for run in line)
            texts.append(
                f'<g class="{name}" opacity="{int(last)}" transform="translate(0 {MARGIN + CELL_HEIGHT * (row + 1)})">'
                f"{shown}</g>"
            )
    width, height = 2 * MARGIN + CELL_WIDTH * COLUMNS, 2.5 * MARGIN + CELL_HEIGHT * ROWS
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}" '
        f'font-family="{FONT}" font-size="14" role="img" aria-label="a recording of {COMMAND}">'
    )
    style = f"<style>{''.join(styles)}@media (prefers-reduced-motion: reduce){{g{{animation:none!important}}}}</style>"
    background = f'<rect width="{width:g}" height="{height:g}" rx="8" fill="#1d2129"/>'
    return "\n".join([head, style, background, *texts, "</svg>\n"])


def percent(at: float, total: float) -> str:
    """Return a moment of the animation as a CSS percentage."""
    return f"{100 * at / total:.3f}%"


def text_of(run: Run) -> str:
    """Return one run as SVG text, as wide as its cells in any font."""
    column, colour, text = run
    width = CELL_WIDTH * len(text)
    return (
        f'<text x="{MARGIN + CELL_WIDTH * column:g}" textLength="{width:g}" lengthAdjust="spacingAndGlyphs" '
        f'xml:space="preserve" fill="{COLOURS.get(colour, COLOURS["default"])}">{html.escape(text)}</text>'
    )


def main() -> None:
    """Record, and write the picture."""
    with tempfile.TemporaryDirectory(prefix="fabric_jobs-") as directory:
        copy = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
        subprocess.run(["tar", "-x"], cwd=directory, input=copy, check=True)
        frames = shortened(list(record(Path(directory))))
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(draw(frames), encoding="utf-8")
    print(f"wrote {PICTURE}: {len(frames)} frames in {frames[-1].at:.1f} s")


if __name__ == "__main__":
    main()

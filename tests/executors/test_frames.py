"""The engine's frames and its log both give back the exact bytes of a program."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from fabric_jobs.executors.base import STREAMS
from fabric_jobs.executors.docker.frames import PIECE, Unlogged, after, frames

Frames = list[tuple[str, bytes]]

STREAM = st.sampled_from(STREAMS)
FRAMES = st.lists(st.tuples(STREAM, st.binary(max_size=40)), max_size=20)
# Short lines, and lines of about one, two and three pieces, with any byte but the newline.
SIZES = st.one_of(
    st.integers(0, 3),
    st.integers(PIECE - 2, PIECE + 2),
    st.integers(2 * PIECE - 2, 2 * PIECE + 2),
    st.just(40_000),
)
LINES = st.lists(st.builds(lambda size, byte: bytes([byte]) * size, SIZES, st.sampled_from([0, 13, 32, 120, 255])))
PRINTED = st.lists(st.tuples(STREAM, LINES), max_size=6)


def packed(found: Frames) -> bytes:
    """Return frames as the engine sends them."""
    return b"".join(
        bytes([1 + STREAMS.index(stream), 0, 0, 0]) + len(text).to_bytes(4, "big") + text for stream, text in found
    )


def cut(text: bytes, places: list[int]) -> list[bytes]:
    ends = sorted(place % (len(text) + 1) for place in places)
    return [text[start:end] for start, end in zip([0, *ends], [*ends, len(text)], strict=True)]


class Log:
    """The engine's log: lines of at most PIECE bytes, with the time at which reading the line began.

    A line in pieces has lost its newline. A line that ends with a full piece is followed by an empty one.
    """

    def __init__(self) -> None:
        self.kept: Frames = []
        self._time = 0

    def line(self, stream: str, text: bytes, *, is_ended: bool = True) -> None:
        """Log one line."""
        self._time += 1
        stamp = b"2026-11-21T12:00:00.%09dZ " % self._time
        newline = b"\n" if is_ended else b""
        if len(text) < PIECE:
            self.kept.append((stream, stamp + text + newline))
            return
        pieces = [text[start : start + PIECE] for start in range(0, len(text), PIECE)]
        if len(pieces[-1]) == PIECE and is_ended:
            pieces.append(b"")
        self.kept += [(stream, stamp + piece) for piece in pieces]

    def read(self) -> Iterator[tuple[str, bytes]]:
        """Yield the log as the executor decodes it."""
        unlogged = Unlogged()
        for stream, frame in self.kept:
            yield stream, unlogged.bytes_of(stream, frame)


def by_stream(found: Iterator[tuple[str, bytes]] | Frames) -> dict[str, bytes]:
    whole = dict.fromkeys(STREAMS, b"")
    for stream, text in found:
        whole[stream] += text
    return whole


@given(FRAMES, st.lists(st.integers(0, 10_000), max_size=20))
def test_frames_are_the_same_in_whatever_parts_they_come(found: Frames, places: list[int]) -> None:
    assert list(frames(cut(packed(found), places))) == found


@given(FRAMES, st.integers(0, 10_000))
def test_what_is_cut_off_yields_the_frames_that_were_whole(found: Frames, place: int) -> None:
    whole = packed(found)
    came = list(frames([whole[: place % (len(whole) + 1)]]))
    assert came == found[: len(came)]
    assert len(packed(found[: len(came) + 1])) > place % (len(whole) + 1) or came == found


@given(PRINTED)
def test_lines_come_out_of_the_log_as_they_were_printed(printed: list[tuple[str, list[bytes]]]) -> None:
    log, whole = Log(), dict.fromkeys(STREAMS, b"")
    for stream, lines in printed:
        for line in lines:
            log.line(stream, line)
            whole[stream] += line + b"\n"
    assert by_stream(log.read()) == whole


@given(PRINTED, STREAM, st.integers(0, PIECE))
def test_a_last_line_without_an_end_comes_out_of_the_log_too(
    printed: list[tuple[str, list[bytes]]], last: str, size: int
) -> None:
    log, whole = Log(), dict.fromkeys(STREAMS, b"")
    for stream, lines in printed:
        for line in lines:
            log.line(stream, line)
            whole[stream] += line + b"\n"
    if size:
        log.line(last, b"e" * size, is_ended=False)
    whole[last] += b"e" * size
    assert by_stream(log.read()) == whole


@given(PRINTED, st.tuples(st.integers(0, 200_000), st.integers(0, 200_000)))
def test_what_is_there_and_what_comes_after_it_are_the_whole(
    printed: list[tuple[str, list[bytes]]], sizes: tuple[int, int]
) -> None:
    log = Log()
    for stream, lines in printed:
        for line in lines:
            log.line(stream, line)
    whole = by_stream(log.read())
    have = {stream: min(size, len(whole[stream])) for stream, size in zip(STREAMS, sizes, strict=True)}
    rest = by_stream(after(log.read(), have))
    assert {stream: whole[stream][: have[stream]] + rest[stream] for stream in STREAMS} == whole


def test_lines_of_both_streams_that_came_at_the_same_time_are_kept_apart() -> None:
    log = Log()
    for stream, text in (("stdout", b"a" * PIECE), ("stderr", b"short"), ("stdout", b"b")):
        log.kept.append((stream, b"2026-11-21T12:00:00.000000001Z " + text))
    assert by_stream(log.read()) == {"stdout": b"a" * PIECE + b"b\n", "stderr": b"short"}

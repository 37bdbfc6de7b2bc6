"""Decodes a container's output: the engine's frames, one stream each, and the original bytes of its log. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fabric_jobs.executors.base import STREAMS

HEAD = 8  # bytes: the stream, three zeros, the length
PIECE = 16_384  # bytes; the log splits longer lines into pieces of this size


def frames(parts: Iterable[bytes]) -> Iterator[tuple[str, bytes]]:
    """Yield stream and bytes of each complete frame. A frame cut off comes again, whole, from the log."""
    buffer = bytearray()
    at = 0
    for part in parts:
        del buffer[:at]
        at = 0
        buffer += part
        while len(buffer) - at >= HEAD:
            size = int.from_bytes(buffer[at + 4 : at + HEAD], "big")
            if len(buffer) - at - HEAD < size:
                break
            yield _stream(buffer[at]), bytes(buffer[at + HEAD : at + HEAD + size])
            at += HEAD + size


def _stream(number: int) -> str:
    return STREAMS[1] if number == 2 else STREAMS[0]


class Unlogged:
    """Turns the frames of the engine's log into the bytes that the program printed.

    The log splits a line longer than PIECE into pieces with the same time, and drops the newline of the last piece.
    """

    def __init__(self) -> None:
        self._before: dict[str, tuple[bytes, int]] = {}  # by stream: time and size of the last piece

    def bytes_of(self, stream: str, frame: bytes) -> bytes:
        """Return the bytes of one frame, without the time at its beginning."""
        time, _, text = frame.partition(b" ")
        before_time, before_size = self._before.get(stream, (b"", 0))
        is_last_piece = time == before_time and before_size == PIECE and len(text) < PIECE
        self._before[stream] = (time, len(text))
        return text + b"\n" if is_last_piece and not text.endswith(b"\n") else text


def after(found: Iterable[tuple[str, bytes]], have: dict[str, int]) -> Iterator[tuple[str, bytes]]:
    """Skip the first `have` bytes of each stream, and yield the rest."""
    left = dict(have)
    for stream, text in found:
        skipped = min(left[stream], len(text))
        left[stream] -= skipped
        if skipped < len(text):
            yield stream, text[skipped:]

"""Unpacks gzip piece by piece, whatever the ratio."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

WITH_HEADER = 31  # for zlib: gzip
PIECE_BYTES = 1 << 20  # unpacked at a time


def unpacked(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield what is packed in all members of a gzip file; raise ValueError when it is damaged."""
    member = None
    for piece in pieces:
        data, is_full = piece, False
        while data or is_full:
            if member is None:
                if not data.strip(b"\0"):
                    break  # padding
                member = zlib.decompressobj(WITH_HEADER)
            try:
                found = member.decompress(data, PIECE_BYTES)
            except zlib.error as error:
                raise ValueError(f"it is not gzip, or damaged: {error}") from None
            if found:
                yield found
            data = member.unconsumed_tail or member.unused_data
            is_full = len(found) == PIECE_BYTES and not member.eof
            if member.eof:
                member = None
    if member is not None:
        raise ValueError("the file ends in the middle of what is packed")


def skipped(pieces: Iterator[bytes], count: int) -> Iterator[bytes]:
    """Yield all but the first `count` bytes."""
    for piece in pieces:
        if count < len(piece):
            yield piece[count:]
        count = max(0, count - len(piece))

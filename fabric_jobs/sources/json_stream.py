"""Takes a stream of JSON values apart: one after another, on lines or not, each with the offset behind it."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator

from fabric_jobs.json_text import value_at

SPACE = re.compile(r"[ \t\n\r]*")
BREAKS = re.compile(r"[\n\r]")
MARK = "\ufeff"  # may begin a file in UTF-8
MARK_BYTES = 3
CLOSED = ('"', "]", "}")  # ends of values that cannot go on
OPEN_END = "e+"  # behind a number: what it goes on with may still come
NEAR = 16  # characters: an error this near to the end is due to the end


class TooLong(ValueError):
    """A value is over the limit."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"it is longer than {limit:,} bytes, the limit of a batch (FABRIC_JOBS_BATCH_BYTES)")


def values(pieces: Iterator[bytes], at: int, limit: int) -> Iterator[tuple[bytes, int]]:
    """Yield each value as it is written, on one line, and the offset behind it; `at` is the offset of the first piece.

    Raises ValueError, which says what is wrong, at the first value that is malformed, or longer than `limit` bytes.
    """
    text, index, is_last = "", 0, False
    decoder = codecs.getincrementaldecoder("utf-8")()
    while True:
        if at == 0 and text.startswith(MARK):
            text, at = text[1:], MARK_BYTES
        start = _end_of_space(text, index)
        at += start - index
        index = start
        if index == len(text) and is_last:
            return
        end = None if index == len(text) else _end_of_value(text, index, limit, is_last=is_last)
        if end is None:
            wanted = max(2 * (len(text) - index), 1)
            try:
                added, is_last = _more(pieces, decoder, wanted)
            except UnicodeDecodeError as error:
                raise ValueError(f"it is not UTF-8: {error.reason}") from None
            text, index = text[index:] + added, 0
            continue
        written = text[index:end]
        encoded = written.encode()
        if len(encoded) > limit:
            raise TooLong(limit)
        at, index = at + len(encoded), end
        yield (BREAKS.sub(" ", written).encode() if "\n" in written or "\r" in written else encoded), at


def _end_of_space(text: str, at: int) -> int:
    found = SPACE.match(text, at)
    return at if found is None else found.end()


def _end_of_value(text: str, at: int, limit: int, *, is_last: bool) -> int | None:
    """Return where a value ends; None when more of the text is needed to tell."""
    left = len(text) - at
    try:
        _, end = value_at(text, at)
    except json.JSONDecodeError as error:
        near = 0 if is_last else NEAR
        is_cut = error.msg.startswith("Unterminated") or error.pos >= len(text) - near
        if not is_last and left <= limit:
            return None
        if left > limit and is_cut:
            raise TooLong(limit) from None
        if is_last and is_cut:
            raise ValueError("the file ends in the middle of it") from None
        what = error.msg.removesuffix(" at").removesuffix(" starting")
        raise ValueError(f"it is not JSON: {what}, {error.pos - at:,} characters after its beginning") from None
    if end + len(OPEN_END) < len(text) or is_last or text[end - 1] in CLOSED:
        return end
    if left > limit:
        raise TooLong(limit)
    return None


def _more(pieces: Iterator[bytes], decoder: codecs.IncrementalDecoder, wanted: int) -> tuple[str, bool]:
    """Return about so many further characters, and whether they are the last ones."""
    found, size = [], 0
    while size < wanted:
        piece = next(pieces, None)
        found.append(decoder.decode(piece or b"", final=piece is None))
        size += len(found[-1])
        if piece is None:
            return "".join(found), True
    return "".join(found), False

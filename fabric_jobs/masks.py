"""Hides the values of secrets in output that is shown. What is shown keeps its length, so offsets into a log stay right."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote

SHORTEST = 4  # characters: shorter values would hide too much of everything else
STAR = b"*"


class Masks:
    """What has to be hidden: texts that values of secrets may appear as."""

    def __init__(self, values: Iterable[Any] = ()) -> None:
        found = {spelled.encode() for value in values for text in _texts(value) for spelled in _spellings(text)}
        self._pieces = sorted(found)
        self.longest = max(map(len, self._pieces), default=0)  # bytes

    def __bool__(self) -> bool:
        return bool(self._pieces)

    def hide(self, data: bytes, *, before: bytes = b"", is_cut: bool = False) -> bytes:
        """Return `data` with each byte of a secret replaced by an asterisk.

        `before` is what precedes it: at most `longest` bytes are needed. `is_cut`: what follows is unknown, so an end that
        may be the beginning of a secret is hidden too.
        """
        text = before + data
        spans = [span for piece in self._pieces for span in _found(text, piece, is_cut=is_cut)]
        if not spans:
            return data
        shown = bytearray(text)
        for begin, end in spans:
            shown[begin:end] = STAR * (end - begin)
        return bytes(shown[len(before) :])

    def text(self, text: str) -> str:
        """Return a whole text without secrets."""
        return self.hide(text.encode(errors="surrogatepass")).decode(errors="surrogatepass") if self else text

    def lines(self, lines: Iterable[str]) -> tuple[str, ...]:
        """Return lines without secrets."""
        return tuple(self.text(line) for line in lines)


def _found(text: bytes, piece: bytes, *, is_cut: bool) -> Iterator[tuple[int, int]]:
    """Yield where a piece is in a text, overlaps included; with `is_cut`, also where its beginning ends the text."""
    at = text.find(piece)
    while at >= 0:
        yield at, at + len(piece)
        at = text.find(piece, at + 1)
    if not is_cut:
        return
    head = piece[:SHORTEST]
    at = text.find(head, max(0, len(text) - len(piece) + 1))
    while at >= 0:
        if piece.startswith(text[at:]):
            yield at, len(text)
        at = text.find(head, at + 1)


def _texts(value: Any) -> Iterator[str]:
    """Yield the texts of a value: a line each, since logs are shown line by line."""
    if isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
    elif value is not None and not isinstance(value, bool):
        lines = (line.strip() for line in str(value).splitlines())
        yield from (line for line in lines if len(line) >= SHORTEST)


def _spellings(text: str) -> set[str]:
    """Return a text as programs print it: plain, in JSON, in Python's own notation, and in a URL."""
    whole = (json.dumps(text, ensure_ascii=False), json.dumps(text), repr(text))
    return {text, *(quoted[1:-1] for quoted in whole), quote(text), quote(text, safe="")}

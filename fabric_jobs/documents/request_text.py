"""Reads the JSON of a submission, and keeps the exact text of its items: numbers are not rounded, keys not reordered."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from fabric_jobs import json_text

ITEM_LIST, ITEMS = "item_list", "items"
WHITE = re.compile(r"[ \t\n\r]*")


class Posted(NamedTuple):
    """The body of a submission."""

    fields: dict[str, Any]  # without the items
    items: tuple[str, ...] | None  # the text of each, on one line; None: there is no list of items


def read(body: bytes) -> Posted:
    """Return the parts of a body; raise ValueError if it is not a JSON object, or breaks the rules of `json_text`."""
    cursor = _Scan(body.decode("utf-8"))
    fields: dict[str, Any] = {}
    found: list[tuple[str, ...] | None] = [None]

    def item_list() -> Any:
        if not cursor.is_at("{"):
            return cursor.value()
        block: dict[str, Any] = {}
        found[0] = None  # as in any JSON, the last one of several counts
        for key in cursor.members():
            if key == ITEMS and cursor.is_at("["):
                found[0] = tuple(cursor.texts())
            else:
                block[key] = cursor.value()
        return block

    readers: dict[str, Callable[[], Any]] = {ITEM_LIST: item_list}
    cursor.skip()
    if not cursor.is_at("{"):
        cursor.value()  # what is not JSON at all has another message
        raise ValueError("it is not an object")
    for key in cursor.members():
        fields[key] = readers.get(key, cursor.value)()
    cursor.finish()
    json.dumps(fields, ensure_ascii=False).encode()  # half of a surrogate pair cannot be stored
    return Posted(fields, found[0])


class _Scan:
    """A place in a JSON text. Strings, numbers and whole values are read by the parser of the standard library."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._decoder = json.JSONDecoder(parse_constant=_refuse)

    def skip(self) -> None:
        """Skip white space."""
        found = WHITE.match(self._text, self._at)
        assert found is not None, "it matches the empty text"
        self._at = found.end()

    def is_at(self, character: str) -> bool:
        """Tell whether this character is next."""
        return self._text.startswith(character, self._at)

    def value(self) -> Any:
        """Return the value that begins here, and go behind it."""
        return self._value()[0]

    def members(self) -> Iterator[str]:
        """Yield each key of the object that begins here; the caller reads its value before it asks for the next one."""
        for _ in self._elements("{", "}"):
            if not self.is_at('"'):
                raise self._wrong("Expecting property name enclosed in double quotes")
            key = self.value()
            self.skip()
            self._take(":")
            self.skip()
            yield key

    def texts(self) -> Iterator[str]:
        """Yield the text of each element of the array that begins here, on one line."""
        for _ in self._elements("[", "]"):
            text = self._value()[1]
            yield text.replace("\n", " ").replace("\r", " ") if "\n" in text or "\r" in text else text

    def finish(self) -> None:
        """Raise JSONDecodeError unless only white space is left."""
        self.skip()
        if self._at < len(self._text):
            raise self._wrong("Extra data")

    def _elements(self, begin: str, end: str) -> Iterator[None]:
        self._take(begin)
        self.skip()
        if self.is_at(end):
            self._at += 1
            return
        while True:
            yield
            self.skip()
            if self.is_at(end):
                self._at += 1
                return
            self._take(",")
            self.skip()

    def _value(self) -> tuple[Any, str]:
        begin = self._at
        try:
            value, self._at = self._decoder.raw_decode(self._text, begin)
        except RecursionError:
            raise ValueError(f"it is nested deeper than {json_text.DEPTH} levels") from None
        text = self._text[begin : self._at]
        if len(text) > json_text.SHORTEST:
            json_text.loads(text)  # for its rule about depth
        return value, text

    def _take(self, character: str) -> None:
        if not self.is_at(character):
            raise self._wrong(f"Expecting '{character}'")
        self._at += 1

    def _wrong(self, message: str) -> json.JSONDecodeError:
        return json.JSONDecodeError(message, self._text, self._at)


def _refuse(word: str) -> Any:
    raise ValueError(f"{word} is not a number")

"""Records as bytes, by the standard library's own C code, without what `json.dumps` and `json.loads` do anew on each call."""

from __future__ import annotations

import json
from collections.abc import Iterator
from json import encoder
from typing import Any

DEPTH = 512  # levels of arrays and objects of a record

_scan: Any = json.JSONDecoder().scan_once  # type: ignore[attr-defined]


def encode(payload: Any) -> bytes:
    """Return one line of NDJSON; raise TypeError or ValueError for what is not JSON."""
    try:
        text = "".join(_chunks(payload, 0))
    except RecursionError:
        raise ValueError(f"the record holds itself, or is nested deeper than {DEPTH} levels") from None
    if len(text) > 2 * DEPTH and text.count("[") + text.count("{") > DEPTH and _is_deep(payload):
        raise ValueError(f"the record is nested deeper than {DEPTH} levels")
    return f"{text}\n".encode()


def decode(text: str) -> Iterator[Any]:
    """Yield the records of NDJSON, each of which ends in a newline."""
    position = 0
    while position < len(text):
        try:
            record, end = _scan(text, position)
        except StopIteration:
            end = -1
        if end < 0 or text[end] != "\n":  # blanks around it, or no JSON at all: json.loads says which
            end = text.index("\n", position)
            record = json.loads(text[position:end])
        yield record
        position = end + 1


def _is_deep(payload: Any) -> bool:
    level = [payload]
    for _ in range(DEPTH):
        inner = [item for item in level if isinstance(item, (dict, list, tuple))]
        level = [child for item in inner for child in (item.values() if isinstance(item, dict) else item)]
    return any(isinstance(item, (dict, list, tuple)) for item in level)


def _refuse(value: Any) -> Any:
    raise TypeError(f"an object of type {type(value).__name__} is not JSON")


def _make_chunks() -> Any:
    make = getattr(encoder, "c_make_encoder", None)
    if make is None:  # a Python without the C extension
        return lambda payload, _: (json.dumps(payload, separators=(",", ":"), allow_nan=False),)
    return make(None, _refuse, encoder.encode_basestring_ascii, None, ":", ",", False, False, False)


_chunks = _make_chunks()

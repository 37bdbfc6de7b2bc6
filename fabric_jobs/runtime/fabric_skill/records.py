"""Records as bytes, by the standard library's own C code, without what `json.dumps` and `json.loads` do anew on each call."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from json import encoder
from typing import Any

DEPTH = 512  # levels of arrays and objects of a record

_scan: Any = json.JSONDecoder().scan_once  # type: ignore[attr-defined]


def encode(payload: Any) -> bytes:
    """Return one line of NDJSON; raise TypeError or ValueError, which names the key, for what is not JSON."""
    try:
        text = "".join(_chunks(payload, 0))
    except RecursionError:
        raise ValueError(f"the record holds itself, or is nested deeper than {DEPTH} levels") from None
    except ValueError:
        raise ValueError(no_number(payload, _is_no_number)) from None
    except TypeError as error:
        path, _ = place_of(payload, _is_foreign)
        raise TypeError(f"'{path}': {error}" if path else str(error)) from None
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


def no_number(record: Any, is_wanted: Callable[[Any], bool]) -> str:
    """Return what to say of the first number that JSON does not have."""
    path, value = place_of(record, is_wanted)
    subject = f"'{path}'" if path else "it"
    return f"{subject} is {value}, which JSON does not have"


def place_of(record: Any, is_wanted: Callable[[Any], bool]) -> tuple[str, Any]:
    """Return the path of the first value that is wanted, such as `a.b[2]`, and the value; no path for the record itself."""
    waiting: list[tuple[str, Any]] = [("", record)]
    while waiting:
        path, value = waiting.pop()
        if is_wanted(value):
            return path.removeprefix("."), value
        inner: list[tuple[str, Any]] = []
        if isinstance(value, dict):
            inner = [(f"{path}.{key}", item) for key, item in value.items()]
        elif isinstance(value, (list, tuple)):
            inner = [(f"{path}[{index}]", item) for index, item in enumerate(value)]
        waiting += reversed(inner)
    return "", record


def _is_no_number(value: Any) -> bool:
    number = _plain(value)
    return isinstance(number, float) and not float("-inf") < number < float("inf")


def _is_foreign(value: Any) -> bool:
    if isinstance(value, dict):
        return not all(key is None or isinstance(key, (str, int, float)) for key in value)
    return not (value is None or isinstance(_plain(value), (str, int, float, list, tuple)))


def _plain(value: Any) -> Any:
    """Return the number or truth value that a scalar of numpy holds; numpy itself is never loaded here."""
    numpy = sys.modules.get("numpy")
    is_scalar = numpy is not None and isinstance(value, numpy.generic) and value.dtype.kind in "biuf"
    return value.item() if is_scalar else value


def _refuse(value: Any) -> Any:
    plain = _plain(value)
    if type(plain) is not type(value):
        return plain
    raise TypeError(f"an object of type {type(value).__name__} is not JSON")


def _make_chunks() -> Any:
    make = getattr(encoder, "c_make_encoder", None)
    if make is None:  # a Python without the C extension
        return lambda payload, _: (json.dumps(payload, separators=(",", ":"), allow_nan=False),)
    return make(None, _refuse, encoder.encode_basestring_ascii, None, ":", ",", False, False, False)


_chunks = _make_chunks()

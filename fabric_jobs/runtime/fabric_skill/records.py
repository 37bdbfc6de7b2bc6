"""Encodes and decodes records with the standard library's C code, without the overhead of `json.dumps` and `json.loads`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from json import encoder
from typing import Any

DEPTH = 512  # levels of arrays and objects in a record
BATCH_CHARACTERS = 8 << 10  # decoded together; more gains nothing, as measured
SHORT_CHARACTERS = 400  # longer lines are faster to decode in place
LINE = "\n"
MARK = os.urandom(6).hex()  # between two records of an array; random, so no record contains it
BETWEEN = f',"{MARK}",'

_scan: Any = json.JSONDecoder().scan_once  # type: ignore[attr-defined]


def encode(payload: Any) -> str:
    """Return a record as one line of JSON; raise TypeError or ValueError, which names the key, when that is impossible."""
    try:
        text = "".join(_chunks(payload, 0))
    except RecursionError:
        raise ValueError(f"the record contains itself, or is nested deeper than {DEPTH} levels") from None
    except ValueError:
        raise ValueError(no_number(payload, _is_no_number)) from None
    except TypeError as error:
        path, _ = place_of(payload, _is_foreign)
        raise TypeError(f"'{path}': {error}" if path else str(error)) from None
    if len(text) > 2 * DEPTH and text.count("[") + text.count("{") > DEPTH and _is_deep(payload):
        raise ValueError(f"the record is nested deeper than {DEPTH} levels")
    return text


def batches(data: bytes) -> Iterator[list[Any]]:
    """Yield the records of NDJSON in lists; each record ends in a newline."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        yield from _one_by_one(data.split(b"\n")[:-1])
        return
    at, size = 0, len(text)
    while at < size:
        end = text.rfind(LINE, at, at + BATCH_CHARACTERS)
        if end < 0:  # a long record
            end = text.index(LINE, at)
        found = _together(text, at, end)
        if found is None:
            yield from _one_by_one(text[at:end].split(LINE))
        else:
            yield found
        at = end + 1


def _together(text: str, at: int, end: int) -> list[Any] | None:
    """Return the records of some lines; None when each must be decoded by itself."""
    found: list[Any] = []
    try:
        if text.index(LINE, at) - at < SHORT_CHARACTERS:
            return _as_array(text[at:end])
        while at <= end:
            line_end = text.index(LINE, at)
            record, at = _scan(text, at)
            if at != line_end:
                return None
            found.append(record)
            at += 1
    except (StopIteration, ValueError, RecursionError):
        return None
    return found


def _as_array(lines: str) -> list[Any] | None:
    """Return the records of short lines, decoded as one array, which makes each key only once."""
    text = f"[{lines.replace(LINE, BETWEEN)}]"
    found, end = _scan(text, 0)
    marks = [MARK] * lines.count(LINE)
    # An empty line, two records in one line, or a bracket left open moves a mark to another place.
    is_good = end == len(text) and len(found) == 2 * len(marks) + 1 and found[1::2] == marks
    return found[::2] if is_good else None


def _one_by_one(lines: list[Any]) -> Iterator[list[Any]]:
    for line in lines:
        yield [json.loads(line if isinstance(line, str) else line.decode())]


def _is_deep(payload: Any) -> bool:
    level = [payload]
    for _ in range(DEPTH):
        inner = [item for item in level if isinstance(item, (dict, list, tuple))]
        level = [child for item in inner for child in (item.values() if isinstance(item, dict) else item)]
    return any(isinstance(item, (dict, list, tuple)) for item in level)


def no_number(record: Any, is_wanted: Callable[[Any], bool]) -> str:
    """Return the message about the first number that JSON does not have."""
    path, value = place_of(record, is_wanted)
    subject = f"'{path}'" if path else "it"
    return f"{subject} is {value}, which is not valid in JSON"


def place_of(record: Any, is_wanted: Callable[[Any], bool]) -> tuple[str, Any]:
    """Return the first wanted value with its path, such as `a.b[2]`; the path of the record itself is empty."""
    waiting: list[tuple[str, Any]] = [("", record)]
    while waiting:
        path, value = waiting.pop()
        if is_wanted(value):
            return path[path[:1] == "." :], value
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
    """Return the number or bool that a numpy scalar holds. Never import numpy for this."""
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

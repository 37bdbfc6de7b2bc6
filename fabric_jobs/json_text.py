"""JSON, with the same rules at every entrance: at most DEPTH levels, no NaN, and only integers that Python can read again."""

from __future__ import annotations

import json
from typing import Any

from fabric_jobs.runtime.fabric_skill.records import no_number

DEPTH = 512  # levels of arrays and objects in a record; its envelope adds one
SHORTEST = 2 * DEPTH  # bytes: a shorter text cannot be deeper, since each level has two brackets


def loads(text: str | bytes, *, levels: int = DEPTH) -> Any:
    """Return the value of a text; raise JSONDecodeError when it is not JSON, and ValueError when it breaks our rules."""
    try:
        value = json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise _too_deep(levels) from None
    except _Constant:
        value = json.loads(text, parse_constant=_Constant)
        raise ValueError(no_number(value, lambda item: isinstance(item, _Constant))) from None
    if len(text) > SHORTEST and _depth(value) > levels:
        raise _too_deep(levels)
    return value


def value_at(text: str, at: int) -> tuple[Any, int]:
    """Return the value that begins at an index of a text, and the index behind it; raise as `loads` does."""
    try:
        value, end = _decoder.raw_decode(text, at)
    except RecursionError:
        raise _too_deep(DEPTH) from None
    except _Constant as error:
        raise ValueError(f"{error} is not a number in JSON") from None
    if end - at > SHORTEST and text.count("[", at, end) + text.count("{", at, end) > DEPTH and _depth(value) > DEPTH:
        raise _too_deep(DEPTH)
    return value, end


class _Constant(Exception):
    """NaN, Infinity or -Infinity, which Python's parser accepts as numbers."""


def _refuse(word: str) -> Any:
    raise _Constant(word)


_decoder = json.JSONDecoder(parse_constant=_refuse)


def _too_deep(levels: int) -> ValueError:
    return ValueError(f"it is nested deeper than {levels} levels")


def _depth(value: Any) -> int:
    """Return the number of nested levels of arrays and objects in a value, without recursion."""
    depth, level = 0, [value]
    while level := [item for item in level if isinstance(item, (dict, list))]:
        level = [child for item in level for child in (item.values() if isinstance(item, dict) else item)]
        depth += 1
    return depth

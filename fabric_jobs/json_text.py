"""JSON as every entrance takes it: at most DEPTH levels, no NaN, and whole numbers that Python can read again."""

from __future__ import annotations

import json
from typing import Any

from fabric_jobs.runtime.fabric_skill.records import no_number

DEPTH = 512  # levels of arrays and objects of a record; an envelope around it has one more
SHORTEST = 2 * DEPTH  # bytes: no shorter text is deeper, since each level has two brackets


def loads(text: str | bytes, *, levels: int = DEPTH) -> Any:
    """Return the value of a text; raise JSONDecodeError for what is not JSON, and ValueError for what is not taken."""
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


class _Constant(Exception):
    """NaN, Infinity or -Infinity, which Python's parser would take for numbers."""


def _refuse(word: str) -> Any:
    raise _Constant(word)


def _too_deep(levels: int) -> ValueError:
    return ValueError(f"it is nested deeper than {levels} levels")


def _depth(value: Any) -> int:
    """Return how many levels of arrays and objects a value has, without recursion."""
    depth, level = 0, [value]
    while level := [item for item in level if isinstance(item, (dict, list))]:
        level = [child for item in level for child in (item.values() if isinstance(item, dict) else item)]
        depth += 1
    return depth

"""Compares JSON values exactly or as a subset: what differs, and where."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import zip_longest
from typing import Any

from fabric_jobs.errors import InvalidInput

PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


class Absent(Enum):
    """The type of ABSENT, so that a type checker can tell it from every JSON value."""

    ABSENT = "absent"


ABSENT = Absent.ABSENT  # means that one side has no value; null is a value


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One place at which two values differ."""

    path: str  # such as `response.carriers[2].delayed`
    expected: Any  # ABSENT if the actual value has something extra
    actual: Any  # ABSENT if it lacks something


def differences(expected: Any, actual: Any, *, subset: bool = False, root: str = "response") -> tuple[Difference, ...]:
    """Return where two JSON values differ, in the order of `expected`; lists are compared item by item.

    With `subset`, objects of `actual` may have more keys, at every depth. Numbers are equal if their values are (1 and
    1.0), and never equal to true or false. Raise InvalidInput for values that are nested too deeply.
    """
    try:
        return tuple(_differences(root, expected, actual, subset))
    except RecursionError:
        raise InvalidInput("the values are nested too deeply to compare.") from None


def fitted(expected: Any, actual: Any) -> Any:
    """Return a subset of `actual` in the shape of `expected`: the same keys, with the values of `actual`."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        return {key: fitted(value, actual[key]) for key, value in expected.items() if key in actual}
    if isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        return [fitted(one, other) for one, other in zip(expected, actual, strict=True)]
    return expected if _is_same(expected, actual) else actual


def _differences(path: str, expected: Any, actual: Any, subset: bool) -> Iterator[Difference]:
    if isinstance(expected, dict) and isinstance(actual, dict):
        for key, value in expected.items():
            yield from _differences(path + _step(key), value, actual.get(key, ABSENT), subset)
        for key in actual:
            if key not in expected and not subset:
                yield Difference(path=path + _step(key), expected=ABSENT, actual=actual[key])
    elif isinstance(expected, list) and isinstance(actual, list):
        for index, (one, other) in enumerate(zip_longest(expected, actual, fillvalue=ABSENT)):
            yield from _differences(f"{path}[{index}]", one, other, subset)
    elif not _is_same(expected, actual):
        yield Difference(path=path, expected=expected, actual=actual)


def _is_same(one: Any, other: Any) -> bool:
    """Tell whether two values are equal; two objects or two lists are compared elsewhere."""
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)  # to Python, True is 1


def _step(key: str) -> str:
    return f".{key}" if PLAIN_KEY.fullmatch(key) else f"[{json.dumps(key, ensure_ascii=False)}]"

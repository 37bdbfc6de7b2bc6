"""Conditions on a payload, for `when:` in mappings and for routing by field. Data, never evaluated as code.

    status: ok                        the field equals `ok`
    country: [DE, FR]                 the field is one of these; also {in: [...]}, {not_in: [...]}
    score: {gte: 0.5, lt: 1}          comparisons of numbers or of texts
    note: {exists: false}             the field is absent or null
    kind: {ne: test}                  the field does not equal `test`, or is absent
    address.city: Berlin              a field of a field
    .: 3                              the payload itself

All fields must match. Values of different types are never equal, and comparisons of them are false: `1` is not `"1"` or `true`.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from fabric_jobs.names import nearest

Condition = Mapping[str, Any]

WHOLE = "."  # the payload itself
_ABSENT = object()
ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}
OPERATORS = ("eq", "ne", "in", "not_in", *ORDERS, "exists")
TEXT, NO_TEXT = "text", "no_text"  # operators of field routing, on the field as text


def holds(condition: Condition, payload: Any) -> bool:
    """Return whether a payload (a decoded JSON value) meets every part of a condition."""
    return all(_field_holds(_find(payload, path), wanted) for path, wanted in condition.items())


def problems(condition: Condition) -> Iterator[tuple[str, str]]:
    """Yield each invalid field of a condition, with what is wrong."""
    for path, wanted in condition.items():
        for name, operand in wanted.items() if isinstance(wanted, Mapping) else ():
            message = _problem(name, operand)
            if message:
                yield path, message
        if wanted == {}:
            yield path, f"the operator is missing; write a value, or one of {', '.join(OPERATORS)}"


def by_field(field: str, matches: Sequence[str], *, inverse: bool = False) -> Condition:
    """Return the condition of a field routing's rule: the field as text is one of `matches` or, with `inverse`, none of them."""
    return {field: {NO_TEXT if inverse else TEXT: list(matches)}}


def text_of(value: Any) -> str:
    """Return a value as routing rules compare it: text unchanged, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def _problem(name: str, operand: Any) -> str:
    if name not in OPERATORS:
        return f"'{name}' is not an operator. {nearest(name, OPERATORS)}".rstrip()
    if name in ("in", "not_in") and not isinstance(operand, list):
        return f"'{name}' needs a list"
    if name == "exists" and not isinstance(operand, bool):
        return "'exists' needs true or false"
    if name in ORDERS and (isinstance(operand, bool) or not isinstance(operand, (int, float, str))):
        return f"'{name}' needs a number or text"
    return ""


def _find(payload: Any, path: str) -> Any:
    if path == WHOLE:
        return payload
    if isinstance(payload, dict) and path in payload:
        return payload[path]
    head, dot, rest = path.partition(".")
    if dot and isinstance(payload, dict) and head in payload:
        return _find(payload[head], rest)
    return _ABSENT


def _field_holds(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, Mapping):
        return all(_operator_holds(name, value, operand) for name, operand in wanted.items())
    if isinstance(wanted, list):
        return _operator_holds("in", value, wanted)
    return _same(value, wanted)


def _operator_holds(name: str, value: Any, operand: Any) -> bool:
    match name:
        case "eq":
            return _same(value, operand)
        case "ne":
            return not _same(value, operand)
        case "in":
            return any(_same(value, item) for item in operand)
        case "not_in":
            return not any(_same(value, item) for item in operand)
        case "exists":
            return (value is not _ABSENT and value is not None) is operand
        case "text":
            return value is not _ABSENT and text_of(value) in operand
        case "no_text":
            return value is _ABSENT or text_of(value) not in operand
    return _kind(value) == _kind(operand) and ORDERS[name](value, operand)


def _same(value: Any, other: Any) -> bool:
    if value is _ABSENT:
        return False
    if isinstance(value, dict) and isinstance(other, dict):
        return value.keys() == other.keys() and all(_same(value[key], other[key]) for key in value)
    if isinstance(value, list) and isinstance(other, list):
        return len(value) == len(other) and all(map(_same, value, other))
    return bool(_kind(value) == _kind(other) and value == other)


def _kind(value: Any) -> type:
    if isinstance(value, int) and not isinstance(value, bool):
        return float  # 1 and 1.0 are equal
    return type(value)

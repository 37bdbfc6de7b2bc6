"""What lists share: `filter` and `sort` (docs/reference/compatibility.md#lists)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import orjson

from fabric_jobs import conditions
from fabric_jobs.errors import InvalidInput, NotThereYet
from fabric_jobs.gateway.operation import Call
from fabric_jobs.gateway.parameters import NUMBER, Parameter, whole

EXAMPLE = 'It is a JSON object such as {"name": "word-count"}, percent-encoded.'
OPERATORS = {"$eq": "eq", "$ne": "ne", "$in": "in", "$nin": "not_in", "$exists": "exists"} | {
    f"${name}": name for name in conditions.ORDERS
}


def page_of(
    rows: Sequence[Mapping[str, Any]], wanted: Mapping[str, Any], order: Sequence[tuple[str, int]]
) -> list[Mapping[str, Any]]:
    """Return the rows that match a `filter`, in the order of a `sort`; raise InvalidInput or NotThereYet."""
    condition = _condition(wanted)
    found = [row for row in rows if conditions.holds(condition, row)]
    for key, direction in reversed(order):
        found.sort(key=lambda row: _sortable(row[key]), reverse=direction < 0)
    return found


def wanted_of(call: Call, where: Parameter[dict[str, Any]], texts: Sequence[Parameter[str]]) -> dict[str, str | None]:
    """Return the wanted texts, given one by one or in a `filter`; None for those not given."""
    found = {text.name: call.of(text) or None for text in texts}
    for key, wanted in call.of(where).items():
        if key not in found or not isinstance(wanted, str):
            raise NotThereYet(
                f"'filter' cannot ask for '{key}' like this: here it compares {', '.join(found)} with a text."
            )
        if found[key] not in (None, wanted):
            raise InvalidInput(f"'{key}' and 'filter' ask for different values of '{key}'.", hint="Leave one of them.")
        found[key] = wanted
    return found


def where(meaning: str, example: str) -> Parameter[dict[str, Any]]:
    """Return the parameter `filter`."""
    return Parameter("filter", meaning, _filter, {}, {"enum": [example, "{}"]})


def by(*keys: str) -> Parameter[list[tuple[str, int]]]:
    """Return the parameter `sort` of rows that are sorted by these keys."""
    examples = {"enum": [f'{{"{keys[0]}":-1}}', f'{{"{keys[0]}":1}}']}
    return Parameter(
        "sort", "A [JSON object](#filter-and-sort) of a key and 1 or -1.", partial(_sort, keys), [], examples
    )


def _filter(text: str) -> dict[str, Any]:
    try:
        found = orjson.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise InvalidInput(f"'filter' is not an object: '{text}'.", hint=EXAMPLE)
    return found


def _oldest_first(text: str) -> bool:
    """Tell whether a `sort` asks for the oldest first: asc, desc, or {"start": 1}."""
    if text.lower() in ("asc", "desc"):
        return text.lower() == "asc"
    try:
        ((key, direction),) = orjson.loads(text).items()
    except (ValueError, AttributeError):
        key, direction = "", 0
    if key not in ("start", "startTime") or direction not in (1, -1):
        raise InvalidInput(f"'sort' must be asc or desc, not '{text}'.")
    return bool(direction == 1)


def _condition(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return a filter in the form of a mapping's conditions; raise for what they cannot express."""
    found: dict[str, Any] = {}
    for key, value in wanted.items():
        if key.startswith("$"):
            raise NotThereYet(f"'{key}' of 'filter' has no effect here.", hint=EXAMPLE)
        given = value if isinstance(value, dict) else {"$eq": value}
        unknown = next((name for name in given if name not in OPERATORS), "")
        if unknown:
            raise NotThereYet(f"'{unknown}' of 'filter' has no effect here.", hint=f"There is {', '.join(OPERATORS)}.")
        found[key] = {OPERATORS[name]: operand for name, operand in given.items()}
        if not all(_is_plain(operand) for operand in given.values()):
            raise InvalidInput(f"'{key}' of 'filter' can be compared only with text, numbers, true, false and null.")
    for key, problem in conditions.problems(found):
        raise InvalidInput(f"'{key}' of 'filter': {problem}.", hint=EXAMPLE)
    return found


def _sortable(value: Any) -> tuple[int, float, str]:
    """Return what a value sorts by: nothing comes before numbers, and these before texts."""
    if value is None:
        return 0, 0, ""
    return (1, value, "") if isinstance(value, (int, float)) else (2, 0, str(value))


def _is_plain(operand: Any) -> bool:
    return not any(isinstance(item, (dict, list)) for item in (operand if isinstance(operand, list) else [operand]))


def _sort(keys: Sequence[str], text: str) -> list[tuple[str, int]]:
    try:
        found = list(orjson.loads(text).items())
    except (ValueError, AttributeError):
        found = [("", 0)]
    if not all(key in keys and direction in (1, -1) for key, direction in found):
        hint = f'Give a JSON object such as {{"{keys[0]}": 1}}, where -1 reverses the order.'
        raise InvalidInput(f"'sort' takes {', '.join(keys)}, not '{text}'.", hint=hint)
    return found


def _start_key(text: str) -> tuple[float, str]:
    at, separator, activation_id = text.partition("_")
    if not (separator and activation_id and NUMBER.fullmatch(at)):
        raise InvalidInput(f"'cursor' must be the 'next' of the page before, not '{text[:100]}'.")
    return float(at), activation_id


AFTER = "The `next` of the page before: go on after it. Unlike `skip`, it misses and repeats nothing, and is fast on every page."
BY_START = Parameter("cursor", AFTER, _start_key, None, {"type": "string"})
BY_NUMBER = whole("cursor", AFTER, None)
OLDEST_FIRST = Parameter(
    "sort",
    "The [order](#filter-and-sort) of their start.",
    _oldest_first,
    False,
    {"enum": ["asc", "desc", '{"start":1}', '{"start":-1}']},
)

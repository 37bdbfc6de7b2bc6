"""What lists share: `filter`, `sort`, `limit` and `skip` (docs/reference/compatibility.md#lists)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from starlette.requests import Request

from fabric_jobs import conditions
from fabric_jobs.errors import InvalidInput, NotThereYet
from fabric_jobs.gateway.parts import whole_of

EVERY = 2**53
EXAMPLE = 'It is a JSON object such as {"name": "word-count"}, percent-encoded.'
OPERATORS = {"$eq": "eq", "$ne": "ne", "$in": "in", "$nin": "not_in", "$exists": "exists"} | {
    f"${name}": name for name in conditions.ORDERS
}


def page_of(request: Request, rows: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> list[Mapping[str, Any]]:
    """Return the rows that a request asks for; `keys` are those that it may sort by. Raise InvalidInput or NotThereYet."""
    condition = _condition(_filter(request))
    found = [row for row in rows if conditions.holds(condition, row)]
    for key, direction in reversed(_sort(request, keys)):
        found.sort(key=lambda row: _sortable(row[key]), reverse=direction < 0)
    skip, limit = whole_of(request, "skip", 0), whole_of(request, "limit", EVERY, low=1)
    return found[skip : skip + limit]


def wanted_of(request: Request, keys: Sequence[str]) -> dict[str, str | None]:
    """Return the texts that these keys have to be equal to, said one by one or in a `filter`; None where nothing is said."""
    found: dict[str, str | None] = {key: request.query_params.get(key) or None for key in keys}
    for key, wanted in _filter(request).items():
        if key not in keys or not isinstance(wanted, str):
            raise NotThereYet(
                f"'filter' cannot ask for '{key}' like this: here it compares {', '.join(keys)} with a text."
            )
        if found[key] not in (None, wanted):
            raise InvalidInput(f"'{key}' and 'filter' ask for two values of '{key}'.", hint="Leave one of them.")
        found[key] = wanted
    return found


def oldest_first(request: Request, *keys: str) -> bool:
    """Tell whether a `sort` asks for the oldest first: asc, desc, or {"start": 1} with one of `keys`."""
    text = request.query_params.get("sort", "")
    if text.lower() in ("", "asc", "desc"):
        return text.lower() == "asc"
    try:
        ((key, direction),) = orjson.loads(text).items()
    except (ValueError, AttributeError):
        key, direction = "", 0
    if key not in keys or direction not in (1, -1):
        raise InvalidInput(f"'sort' is asc or desc, not '{text}': they are in the order of their start.")
    return bool(direction == 1)


def _filter(request: Request) -> dict[str, Any]:
    text = request.query_params.get("filter", "")
    try:
        found = orjson.loads(text) if text else {}
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise InvalidInput(f"'filter' is not an object: '{text}'.", hint=EXAMPLE)
    return found


def _condition(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return a filter as the conditions of a mapping have it; raise for what those cannot say."""
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
            raise InvalidInput(f"'{key}' of 'filter' is compared with texts, numbers, true, false and null only.")
    for key, problem in conditions.problems(found):
        raise InvalidInput(f"'{key}' of 'filter': {problem}.", hint=EXAMPLE)
    return found


def _sortable(value: Any) -> tuple[bool, int, str]:
    return (False, value, "") if isinstance(value, int) else (True, 0, str(value))


def _is_plain(operand: Any) -> bool:
    return not any(isinstance(item, (dict, list)) for item in (operand if isinstance(operand, list) else [operand]))


def _sort(request: Request, keys: Sequence[str]) -> list[tuple[str, int]]:
    text = request.query_params.get("sort", "")
    try:
        found = list(orjson.loads(text).items()) if text else []
    except (ValueError, AttributeError):
        found = [("", 0)]
    if not all(key in keys and direction in (1, -1) for key, direction in found):
        hint = f'Give a JSON object such as {{"{keys[0]}": 1}}, where -1 is the other way round.'
        raise InvalidInput(f"'sort' takes {', '.join(keys)}, and not '{text}'.", hint=hint)
    return found

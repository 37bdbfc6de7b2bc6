"""Describes a record that cannot be handled: an exception in one line, a reason, details of limited length."""

from __future__ import annotations

import json
from typing import Any

REASON_CHARACTERS = 1000
DETAILS_CHARACTERS = 8000  # as JSON
DEPTH = 256  # levels of nesting in details


def words(error: BaseException) -> str:
    """Return an exception as in the last line of its traceback, such as `ValueError: no such country`."""
    import traceback  # late: most programs never need it

    lines = traceback.format_exception_only(type(error), error)
    return one_line(next((line for line in lines if not line.startswith(" ")), "").split("\n", 1)[0])


def one_line(text: str) -> str:
    """Return a text as one line of UTF-8 that is not too long."""
    return " ".join(text.encode(errors="replace").decode().split())[:REASON_CHARACTERS]


def bounded(details: dict[str, Any]) -> Any:
    """Return details as JSON: values that JSON cannot hold become text, and long ones are cut."""
    try:
        text = json.dumps(details, default=str, allow_nan=False, skipkeys=True, ensure_ascii=False)
    except (ValueError, RecursionError):  # NaN, or it contains itself
        text = ""
    text = (text or repr(details)).encode(errors="replace").decode()
    if not text.startswith('{"') or len(text) > DETAILS_CHARACTERS or text.count("[") + text.count("{") > DEPTH:
        return {"cut": text[:DETAILS_CHARACTERS]} if details else {}
    return json.loads(text)

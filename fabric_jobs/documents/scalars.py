"""The value of a plain YAML scalar: the rules of YAML 1.2, which are those of JSON plus text without quotes."""

from __future__ import annotations

import math
import re

from fabric_jobs.documents.nodes import Scalar

WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
DECIMAL = re.compile(r"[-+]?(0|[1-9][0-9]*)")
HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
FLOAT = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
NOT_A_NUMBER = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
DATE = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt ].*)?")
MAX_DIGITS = 400  # a float with more is infinite, and Python refuses integers of 4,301 digits


def resolve(text: str) -> Scalar:
    """Return the value of an unquoted scalar. Raise ValueError, with the reason, if JSON has no such value.

    YAML 1.1 reads `no`, `on`, `0777` and `1:30` as a boolean or a number. Here they are text
    (docs/reference/compatibility.md#plain-words-in-yaml).
    """
    if text in WORDS:
        return WORDS[text]
    if DATE.fullmatch(text):
        raise ValueError(f"{text} is a date, which is not valid in JSON; put it in quotes to make it text")
    if NOT_A_NUMBER.fullmatch(text):
        raise ValueError(f"{text} is not a valid number in JSON; put it in quotes to make it text")
    return _number(text)


def _number(text: str) -> str | int | float:
    if HEXADECIMAL.fullmatch(text):
        return int(text, 16)
    is_integer = DECIMAL.fullmatch(text) is not None
    if not is_integer and not FLOAT.fullmatch(text):
        return text
    if len(text) > MAX_DIGITS or math.isinf(float(text)):
        raise ValueError("the number is too large; put it in quotes to make it text")
    return int(text) if is_integer else float(text)

"""Parameters of requests: each is declared once, with how it is read and described."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar

from starlette.requests import Request

from fabric_jobs.errors import InvalidInput

Value_co = TypeVar("Value_co", covariant=True)
Default = TypeVar("Default")
Schema = Mapping[str, Any]

P = "/fabric/v4/projects/{project}"  # how the path of most operations begins
MOST = 2**53
WAIT_SECONDS = 60  # how long one call waits at most
WHOLE = re.compile(r"[+-]?[0-9]{1,30}")
NUMBER = re.compile(r"[+-]?[0-9]{1,20}(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?")
MOMENT = ({"type": "integer", "minimum": 0, "maximum": MOST}, {"type": "string", "format": "date-time"})


class Parameter(NamedTuple, Generic[Value_co]):
    """One value of a query or a header."""

    name: str
    meaning: str
    parse: Callable[[str], Value_co]  # raises InvalidInput
    default: Value_co
    schema: Schema  # JSON Schema of the value
    place: str = "query"  # query | header
    bare: bool = False  # whether the name alone means something; otherwise an empty value counts as none

    def of(self, request: Request) -> Value_co:
        """Return its value in a request; raise InvalidInput if it cannot be read."""
        text = (request.query_params if self.place == "query" else request.headers).get(self.name)
        return self.default if text is None or not (text or self.bare) else self.parse(text)


def text(name: str, meaning: str, **schema: Any) -> Parameter[str]:
    """Return a parameter that takes any text; the handler checks what else the schema requires."""
    return Parameter(name, meaning, str, "", schema or {"type": "string"})


def header(name: str, meaning: str, **schema: Any) -> Parameter[str]:
    """Return a parameter that is a header."""
    return Parameter(name, meaning, str, "", {"type": "string", **schema}, place="header")


def choice(name: str, meaning: str, *values: str, default: str = "") -> Parameter[str]:
    """Return a parameter that takes one of these words."""
    schema = {"enum": [*values], **({"default": default} if default else {})}
    return Parameter(name, meaning, partial(_one_of, name, values), default, schema)


def flag(name: str, meaning: str) -> Parameter[bool]:
    """Return a parameter that takes a yes or no: `?name` and `?name=true` are yes."""
    return Parameter(name, meaning, partial(_yes, name), False, {"type": "boolean", "default": False}, bare=True)


def maybe(name: str, meaning: str) -> Parameter[bool | None]:
    """Return a parameter that takes a yes or no, and is None when it is not given."""
    return Parameter(name, meaning, partial(_yes, name), None, {"type": "boolean"})


def whole(name: str, meaning: str, default: Default, *, low: int = 0, high: int = MOST) -> Parameter[int | Default]:
    """Return a parameter that takes a whole number."""
    return Parameter(name, meaning, partial(_whole, name, low, high), default, _range("integer", low, high, default))


def number(
    name: str, meaning: str, default: Default, *, low: float = 0, high: float = MOST
) -> Parameter[float | Default]:
    """Return a parameter that takes a number."""
    return Parameter(name, meaning, partial(_number, name, low, high), default, _range("number", low, high, default))


def time(name: str, meaning: str) -> Parameter[float | None]:
    """Return a parameter whose value is a time in seconds, written as milliseconds since 1970 or as ISO 8601."""
    return Parameter(name, meaning, partial(_time, name), None, {"anyOf": [*MOMENT]})


def _range(kind: str, low: float, high: float, default: object) -> Schema:
    return {"type": kind, "minimum": low, "maximum": high, **({} if default is None else {"default": default})}


def _one_of(name: str, values: tuple[str, ...], text: str) -> str:
    if text not in values:
        raise InvalidInput(f"'{name}' must be {' or '.join(values)}, not '{text}'.")
    return text


def _yes(name: str, text: str) -> bool:
    if text.lower() not in ("", "true", "false"):
        raise InvalidInput(f"'{name}' must be true or false, not '{text.lower()}'.")
    return text.lower() != "false"


def _whole(name: str, low: int, high: int, text: str) -> int:
    if not WHOLE.fullmatch(text):
        raise InvalidInput(f"'{name}' must be a whole number, not '{text}'.")
    if not low <= int(text) <= high:
        raise InvalidInput(f"'{name}' must be between {low} and {high}, not {text}.")
    return int(text)


def _number(name: str, low: float, high: float, text: str) -> float:
    if not NUMBER.fullmatch(text):
        raise InvalidInput(f"'{name}' must be a number, not '{text}'.")
    if not low <= float(text) <= high:
        raise InvalidInput(f"'{name}' must be between {low:g} and {high:g}, not {text}.")
    return float(text)


def _time(name: str, text: str) -> float:
    if WHOLE.fullmatch(text):
        return _whole(name, 0, MOST, text) / 1000
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+"))  # an unescaped plus
        return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
    except (ValueError, OverflowError):
        raise InvalidInput(
            f"'{name}' must be milliseconds since 1970 or a time such as 2026-01-31T12:00:00Z, not '{text}'."
        ) from None


LIMIT = whole("limit", "How many at most.", 20, low=1, high=10_000)
SKIP = whole("skip", "How many to leave out first.", 0)
WAIT = number("wait", "How many seconds to wait for news.", 0, high=WAIT_SECONDS)
ACTIVATION_ID = text("activationId", "Only of this activation.")
SKILL_NAME = text("skillName", "Only of this skill.")

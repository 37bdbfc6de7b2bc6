"""JSON bodies of requests and responses."""

from __future__ import annotations

import json
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from fabric_jobs import json_text
from fabric_jobs.errors import InvalidInput, RecordTooLarge


class Json(Response):
    """A JSON response."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Return the body."""
        return dumps(content)


def dumps(value: Any) -> bytes:
    """Return a value as JSON, including the long whole numbers and deep values that orjson refuses."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return orjson.dumps(_spelled(value))


def _spelled(value: Any) -> Any:
    try:
        return orjson.Fragment(json.dumps(value, separators=(",", ":"), allow_nan=False).encode())
    except TypeError:  # it holds something that only orjson writes, such as a fragment
        pass
    if isinstance(value, dict):
        return {key: _spelled(item) for key, item in value.items()}
    return [_spelled(item) for item in value] if isinstance(value, list) else value


async def body_of(request: Request, limit: int) -> bytes:
    """Return the body of a request; raise RecordTooLarge above `limit` bytes, before reading if its length is announced."""
    if int(request.headers.get("content-length") or 0) > limit:
        raise RecordTooLarge(f"the body is over the limit of {limit} bytes.")
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise RecordTooLarge(f"the body is over the limit of {limit} bytes.")
        parts.append(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


async def json_of(request: Request, limit: int) -> Any:
    """Return the JSON value of a request's body; unlike with orjson, whole numbers of any length stay exact."""
    try:
        return json_text.loads(await body_of(request, limit), levels=json_text.DEPTH + 1)
    except ValueError as error:
        raise InvalidInput(f"the body is not JSON: {error}.") from error


async def object_of(request: Request, limit: int) -> dict[str, Any]:
    """Return the JSON object of a request's body."""
    return checked(await json_of(request, limit))


def object_in(text: str | bytes) -> dict[str, Any]:
    """Return the JSON object in a text; raise InvalidInput."""
    try:
        return checked(json_text.loads(text, levels=json_text.DEPTH + 1))
    except ValueError as error:
        raise InvalidInput(f"this is not JSON: {error}.") from error


def checked(value: Any) -> dict[str, Any]:
    """Return a value that is an object of text that can be stored; raise InvalidInput for any other."""
    if not isinstance(value, dict):
        raise InvalidInput("the body is not a JSON object.")
    check_text({key: item for key, item in value.items() if key != "payload"})  # a payload is passed on unchanged
    return value


def check_text(value: Any) -> None:
    """Raise InvalidInput for half a surrogate pair: JSON can spell it, but no file, database or answer can hold it."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise InvalidInput("the body contains half of a surrogate pair, such as \\ud800.") from error


def compact(value: Any) -> bytes:
    """Return a JSON value as one line."""
    try:
        return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()
    except ValueError as error:
        raise InvalidInput(f"a number is too large: {error}.") from error

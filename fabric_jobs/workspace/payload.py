"""Reads the parameters of an invocation, from a file, standard input or the command line."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fabric_jobs import json_text
from fabric_jobs.errors import InvalidInput, NotFound, shown
from fabric_jobs.user_files import decoded, read_bytes, read_some

EXAMPLE = 'Write it like {"payload": {"message": "hello"}}; --payload takes only the inner part.'


def read_params(params_file: str | None, params: str | None, payload: str | None) -> dict[str, Any]:
    """Return the parameters of an invocation, given in exactly one of the three ways (`-` is standard input).

    Raises InvalidInput if they are not JSON, not an object, or have no `payload`; NotFound for a missing file;
    UnicodeEncodeError for bytes of the command line that are not UTF-8.
    """
    if sum(value is not None for value in (params_file, params, payload)) != 1:
        raise InvalidInput("only one of --params-file, --params and --payload is allowed.", hint=EXAMPLE)
    if payload is not None:
        return {"payload": _json(typed_text(payload), "--payload", levels=json_text.DEPTH)}
    if params is not None:
        return _checked(_json(typed_text(params), "--params"), "--params")
    return _checked(_json(_read(str(params_file), _named), str(params_file)), str(params_file))


OF_ONE_RUN = ("activationId", "key", "ifExists")


def typed_text(text: str) -> str:
    """Return a text of the command line, as UTF-8: JSON would take other bytes for halves of surrogate pairs."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        try:
            return os.fsencode(text).decode()  # the locale, such as C, does not cover the text
        except UnicodeDecodeError:
            raise error from None
    return text


def read_message(path: Path) -> dict[str, Any]:
    """Return the parameters in a message.json without those that would name an earlier run."""
    params = _checked(_json(_read(shown(path), read_bytes), shown(path)), shown(path))
    return {key: value for key, value in params.items() if key not in OF_ONE_RUN}


def sample_of(root: Path, kind: str, name: str) -> list[str]:
    """Return the options for a sample message to a skill or an agent: one of its own, else an empty one."""
    place = root / "skills" / name / "invoke" if kind == "skill" else root / "agents" / "invoke" / name
    messages = sorted(place.glob("*/message.json"))
    return ["--params-file", shown(messages[0])] if messages else ["--payload", "{}"]


def read_json(path: Path) -> Any:
    """Return the JSON value in a file; raise InvalidInput or NotFound as `read_params` does."""
    return _json(_read(shown(path), read_bytes), shown(path), example="")


def _named(path: Path) -> bytes:
    """Return the content of a file named on the command line, which may be a pipe; `-` is standard input."""
    if str(path) != "-":
        with path.open("rb") as file:
            return read_some(file)
    if sys.stdin is None:
        raise InvalidInput("standard input is closed.", hint="Pipe the parameters in, or name a file.")
    return read_some(sys.stdin.buffer)


def named_text(path: str) -> str:
    """Return the text of a file named on the command line, or of standard input (`-`); raise InvalidInput or NotFound."""
    return _read(path, _named, hint="Name another file.")


def _read(path: str, read: Callable[[Path], bytes], *, hint: str = "Name a file with the parameters as JSON.") -> str:
    try:
        return decoded(read(Path(path)))
    except FileNotFoundError:
        raise NotFound(f"there is no file {path}.", hint=hint) from None
    except OSError as error:
        raise InvalidInput(
            f"{path} cannot be read: {error.strerror}.", hint="Name a file that you can read."
        ) from error


def _json(text: str, where: str, *, example: str = EXAMPLE, levels: int = json_text.DEPTH + 1) -> Any:
    try:
        return json_text.loads(text, levels=levels)
    except ValueError as error:
        raise InvalidInput(f"{where} is not JSON: {error}.", hint=example) from error


def _checked(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidInput(f"{where} is not a JSON object.", hint=EXAMPLE)
    if "payload" not in value:
        raise InvalidInput(f"{where} has no 'payload'.", hint=EXAMPLE)
    return value

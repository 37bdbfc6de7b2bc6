"""Makes the request for a job from what a user types; items keep their exact text."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fabric_jobs import json_text
from fabric_jobs.errors import InvalidInput
from fabric_jobs.workspace.payload import named_text, typed_text

ITEMS_EXAMPLE = """Write them like --items '["one", {"two": 2}]'."""
CONFIG_EXAMPLE = """Write it like --config '{"key": "value"}'."""


def request_text(given: Mapping[str, Any], *, here: Path | None) -> str:
    """Return the request for a job as JSON. `given` contains the options of `jobs submit`.

    Relative paths of files begin at `here`; with None they stay, for the gateway to resolve. Raises InvalidInput and
    NotFound.
    """
    if given["submission"] is not None:
        return _object(named_text(given["submission"]), given["submission"], example="")
    fields = _fields(given)
    items = _items(given)
    if items is None:
        fields |= _lister(given, here)
        return json.dumps(fields)
    block = f'{{"batch_size": {given["batch_size"]}, "items": {items}}}'
    return f'{json.dumps(fields)[:-1]}, "item_list": {block}}}'


def _fields(given: Mapping[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {"workers": given["workers"]}
    if given["config"] is not None:
        fields["config"] = json.loads(_object(typed_text(given["config"]), "--config", example=CONFIG_EXAMPLE))
    if given["timeout"] is not None:
        fields["timeout"] = math.ceil(given["timeout"])
    if given["batch_timeout"] is not None:
        fields["batch_timeout"] = given["batch_timeout"]
    if given["dead_letter_queue"] is not None:
        count = given["max_receive_count"] or 1
        fields["sqs_dead_letter_queue"] = {"arn": given["dead_letter_queue"], "max_receive_count": count}
    elif given["max_receive_count"] is not None:
        fields["max_receive_count"] = given["max_receive_count"]
    return fields


def _lister(given: Mapping[str, Any], here: Path | None) -> dict[str, Any]:
    """Return the block that says where the items are; empty if no files are named."""
    for option, block in (("ndjson", "delimited_files"), ("files", "file_path_lister")):
        if given[option]:
            patterns = {"includes": list(given["include"]), "excludes": list(given["exclude"])}
            paths = [_place(path, here) for path in given[option]]
            chosen = {key: value for key, value in patterns.items() if value}
            return {block: {"s3_paths": paths, **chosen, "batch_size": given["batch_size"]}}
    return {}


def _place(path: str, here: Path | None) -> str:
    """Return a path as the gateway understands it; a final slash, which makes it a directory, stays."""
    if here is None or "://" in path:
        return path
    is_directory = path.endswith("/") or path.rpartition("/")[2] in (".", "..")
    return os.path.normpath(here / path).rstrip("/") + ("/" if is_directory else "")


def _items(given: Mapping[str, Any]) -> str | None:
    """Return the items as the text of a JSON array; None if the request has no items."""
    if given["items"] is not None:
        return _array(typed_text(given["items"]), "--items")
    if given["items_file"] is not None:
        return _array_or_lines(named_text(given["items_file"]), given["items_file"])
    return None


def _array_or_lines(text: str, where: str) -> str:
    """Return a text that is an array, or one JSON value per line, as an array."""
    if text.lstrip().startswith("["):
        try:
            whole = json_text.loads(text)
        except ValueError:
            whole = None  # several arrays, one per line, or none
        if isinstance(whole, list):
            return text.strip()
    lines = [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    for number, line in lines:
        try:
            json_text.loads(line)
        except ValueError as error:
            raise InvalidInput(
                f"line {number} of {where} is not JSON: {error}.",
                hint="Write one JSON value per line, or one array. Read a larger file with --ndjson.",
            ) from error
    return f"[{', '.join(line.strip() for _, line in lines)}]"


def _array(text: str, where: str) -> str:
    try:
        value = json_text.loads(text)
    except ValueError as error:
        raise InvalidInput(f"{where} is not JSON: {error}.", hint=ITEMS_EXAMPLE) from error
    if not isinstance(value, list):
        raise InvalidInput(f"{where} is not a JSON array.", hint=ITEMS_EXAMPLE)
    return text.strip()


def _object(text: str, where: str, *, example: str) -> str:
    try:
        value = json_text.loads(text)
    except ValueError as error:
        raise InvalidInput(f"{where} is not JSON: {error}.", hint=example) from error
    if not isinstance(value, dict):
        raise InvalidInput(f"{where} is not a JSON object.", hint=example)
    return text.strip()

"""Checks records that are stored unchanged: each must be JSON in UTF-8 that every reader can parse."""

from __future__ import annotations

from collections import deque

import orjson

from fabric_jobs.json_text import DEPTH, SHORTEST, loads

# orjson accepts 1,024 levels. Within these brackets, DEPTH levels are left for the text.
_OPEN, _CLOSE = b"[" * DEPTH, b"]" * DEPTH


def check(text: bytes) -> None:
    """Raise ValueError unless a text is one record."""
    try:
        orjson.loads(text)
        if _may_be_deep(text):
            orjson.loads(_OPEN + text + _CLOSE)
    except orjson.JSONDecodeError:
        loads(text.decode())  # also accepts long whole numbers and halves of surrogate pairs, and explains errors


def check_lines(lines: bytes) -> None:
    """Raise ValueError unless each line of NDJSON, which ends in a newline, is a record."""
    parts = lines.split(b"\n")[:-1]
    try:
        deque(map(orjson.loads, parts), maxlen=0)
    except orjson.JSONDecodeError:
        suspects = parts
    else:
        suspects = [part for part in parts if _may_be_deep(part)] if len(lines) > SHORTEST else []
    for part in suspects:
        check(part)


def _may_be_deep(text: bytes) -> bool:
    return len(text) > SHORTEST and text.count(b"[") + text.count(b"{") > DEPTH

"""The message that the program was started with (docs/reference/runtime.md)."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

_message: dict[str, Any] | None = None


def message() -> dict[str, Any]:
    """Return the message: `payload`, `properties`, `activationId`, …. Read it once; end the program when there is none.

    A payload that is too long for a command line comes in a file; the result is the same.
    """
    global _message
    if _message is None:
        _message = _read()
    return _message


def _read() -> dict[str, Any]:
    for text in (sys.argv[-1] if len(sys.argv) > 1 else "", os.environ.get("CORTEX_PAYLOAD", "")):
        try:
            found = json.loads(text)
        except ValueError:
            continue
        if isinstance(found, dict):
            return _with_payload(found)
    sys.exit(
        "There is no message: the last argument is not a JSON object, and CORTEX_PAYLOAD is not set.\n"
        "Run the skill with `fabric-jobs skills invoke`, or try: python main.py '{\"payload\": {}}'"
    )


def _with_payload(found: dict[str, Any]) -> dict[str, Any]:
    if "payload" not in found and "payloadFile" in found:
        with open(found["payloadFile"], encoding="utf-8") as file:
            found["payload"] = json.load(file)
    return found

"""The JSON Schemas of secrets, for the documentation only."""

from __future__ import annotations

from typing import Any

from fabric_jobs.gateway.shapes import MILLISECONDS, TEXT, count, good, listed, record, said

SECRETS: dict[str, Any] = {
    "SecretNames": said("array", "The names alone, with `list`.") | {"items": TEXT},
    "Secrets": listed("secrets", "SecretSummary"),
    "SecretSummary": record({"name": TEXT, "updatedAt": MILLISECONDS}),
    "Secret": good(value={"description": "Any JSON value but null."}),
    "NewSecret": {
        "description": "The value: any JSON value but null of at most 64 KiB, or `{value}` with it.",
        "anyOf": [record({"value": {"not": {"type": "null"}}}), {"not": {"type": "null"}}],
    },
    "Rotated": good(count=count("How many secrets have the new key.")),
}

"""The JSON Schemas of content, for the documentation only."""

from __future__ import annotations

from typing import Any

from fabric_jobs.gateway.shapes import COUNT, TEXT, good, record, ref

_NONE = r"\x00-\x1f\x7f-\x9f\ufffd\ufffe\uffff" + "\U0010ffff"  # the characters of no key
_PART = rf"([^/.{_NONE}][^/{_NONE}]*|\.[^/.{_NONE}][^/{_NONE}]*|\.\.[^/{_NONE}]+)"  # neither empty, nor `.`, nor `..`
KEY_PATTERN = f"^/*{_PART}(/{_PART})*$"
CONTENT: dict[str, Any] = {
    "Contents": {"type": "array", "items": ref("Content")},
    "Content": record(
        {
            "Key": TEXT,
            "ContentType": TEXT,
            "LastModified": {"type": "string", "format": "date-time"},
            "Size": COUNT,
            "Sha256": TEXT,
        }
    ),
    "Stored": good(message=TEXT, key=TEXT, sha256=TEXT, size=COUNT),
}
# Bodies that are not JSON: media type and schema.
CONTENT_TEXTS: dict[str, tuple[str, dict[str, Any]]] = {
    "Bytes": ("*/*", {"description": "The bytes."}),
    "ContentForm": (
        "multipart/form-data",
        record(
            {
                "key": {"type": "string", "pattern": KEY_PATTERN},
                "content": {"type": "string", "contentMediaType": "*/*"},
            }
        ),
    ),
}

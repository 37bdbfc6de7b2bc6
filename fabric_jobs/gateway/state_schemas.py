"""The JSON Schemas of the state and its care, for the documentation only."""

from __future__ import annotations

from typing import Any

from fabric_jobs.gateway.shapes import (
    ACTIVATION_STATE,
    COUNT,
    COUNTS,
    MILLISECONDS,
    TEXT,
    YES_OR_NO,
    good,
    listed,
    record,
    ref,
)

OFF = {"type": "boolean", "default": False}
SWEPT = record({"blobs": COUNT, "bytes": COUNT})
STATE: dict[str, Any] = {
    "Size": good(
        database=record({"bytes": COUNT, "free": COUNT, "wal": COUNT}),
        records=record({"bytes": COUNT}),
        attempts=record({"bytes": COUNT, "leftovers": COUNT}),
        content=record({"bytes": COUNT, "keys": COUNT, "used": COUNT}),
        deployed=record({"bytes": COUNT}),
        bytes=COUNT,
        used=COUNT,
        counts=COUNTS,
        activations={"type": "array", "items": ref("Share")},
    ),
    "Share": record(
        {
            "activationId": TEXT,
            "name": TEXT,
            "status": ACTIVATION_STATE,
            "bytes": COUNT,
            "database": COUNT,
            "attempts": COUNT,
        }
    ),
    "Check": good(healthy=YES_OR_NO, violations={"type": "array", "items": TEXT}, counts=COUNTS),
    "Prunable": record(
        {"activationId": TEXT, "name": TEXT, "status": ACTIVATION_STATE, "end": MILLISECONDS, "bytes": COUNT}
    ),
    "Prunables": listed("activations", "Prunable", content=SWEPT),
    "Prune": record(
        {},
        activations={"type": "array", "items": TEXT},
        deadLetters=OFF,
        content={**OFF, "description": "Remove unused content from a bucket, too."},
    ),
    "Pruned": good(seen=COUNT, count=COUNT, finished=YES_OR_NO, content=SWEPT),
    "Retired": good(ending=YES_OR_NO),
    "Compacted": good(compacted=YES_OR_NO, reason=TEXT),
    "BackupWanted": record(
        {
            "destination": {
                "type": "string",
                "minLength": 1,
                "description": "An absolute path; a name with .tar, .tar.gz or .tgz is an archive.",
            }
        },
        logs={"type": "boolean", "default": True},
    ),
    "Backup": good(
        destination=TEXT,
        ended=YES_OR_NO,
        pages=record({"copied": COUNT, "all": COUNT}),
        files=COUNT,
        bytes=COUNT,
        error={"type": ["object", "null"]},
    ),
}

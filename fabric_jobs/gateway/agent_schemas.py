"""The JSON Schemas of snapshots, descriptions and callbacks, for the documentation only."""

from __future__ import annotations

from typing import Any

from fabric_jobs.gateway.shapes import (
    COUNT,
    MAYBE_MILLISECONDS,
    MILLISECONDS,
    SUCCESS,
    TEXT,
    good,
    listed,
    record,
    said,
)

OBJECTS = {"type": "array", "items": {"type": "object"}}
LIST_OF = {"apiVersion": TEXT, "kind": {"const": "List"}, "items": OBJECTS}
VERDICT = record(
    {
        "kind": TEXT,
        "name": TEXT,
        "accepted": {
            "type": ["boolean", "null"],
            "description": "Null: not checked, since the gateway may not create it.",
        },
        "message": said("string", "What the cluster says, in its own words."),
    }
)
SUMMARY = {
    "snapshotId": TEXT,
    "title": TEXT,
    "agentName": TEXT,
    "agentVersion": COUNT,
    "skillVersions": {"type": "object", "additionalProperties": COUNT},
    "createdAt": MILLISECONDS,
    "createdBy": TEXT,
}

AGENTS: dict[str, Any] = {
    "Kubernetes": {"description": "A Kubernetes List of objects, as JSON.", **record(LIST_OF)},
    "DryRun": record(
        {"success": SUCCESS, "message": TEXT, **LIST_OF},
        cluster=said("string", "With `check`: the cluster that was asked, and its namespace; empty if none answers."),
        unreachable=said("string", "Why no cluster was asked."),
        verdicts={"type": "array", "items": VERDICT},
    ),
    "TaskOnKubernetes": record(
        {"success": SUCCESS, "task": record({"apiVersion": TEXT, "kind": {"enum": ["Job", "List"]}})}
    ),
    "Callbacks": listed("callbacks", "Callback"),
    "Callback": record(
        {
            "activationId": TEXT,
            "url": said("string", "Without its query, which may have a secret."),
            "state": {"enum": ["waiting", "trying", "given up"]},
            "tries": COUNT,
            "nextAt": MAYBE_MILLISECONDS,
            "error": TEXT,
        }
    ),
    "CallbackKey": good(key=TEXT),
    "SnapshotWanted": record(
        {},
        title={"type": ["string", "null"], "maxLength": 1000},
        snapshotId={
            "type": ["string", "null"],
            "pattern": "^([A-Za-z0-9_-]{8,64})?$",
            "description": "8 to 64 letters, digits, `-` and `_`. Two requests with one id make one snapshot.",
        },
    ),
    "SnapshotMade": good(**SUMMARY, message=TEXT),
    "Snapshots": listed("snapshots", "SnapshotSummary"),
    "SnapshotSummary": record(SUMMARY),
    "Snapshot": record(
        {"success": SUCCESS, **SUMMARY, "agent": {"type": "object"}},
        skills={"type": "array", "items": {"type": "object"}, "description": "With `deps`."},
    ),
    "Interface": said("object", "An OpenAPI 3.1 document."),
}

"""The JSON Schemas of snapshots, descriptions and callbacks, for the documentation only."""

from __future__ import annotations

from typing import Any

from fabric_jobs.gateway.shapes import SUCCESS, TEXT, record, said

OBJECTS = {"type": "array", "items": {"type": "object"}}
LIST_OF = {"apiVersion": TEXT, "kind": {"const": "List"}, "items": OBJECTS}

AGENTS: dict[str, Any] = {
    "Kubernetes": {"description": "A Kubernetes List of objects, as JSON.", **record(LIST_OF)},
    "DryRun": record({"success": SUCCESS, "message": TEXT, **LIST_OF}),
    "TaskOnKubernetes": record(
        {"success": SUCCESS, "task": record({"apiVersion": TEXT, "kind": {"enum": ["Job", "List"]}})}
    ),
    "Interface": said("object", "An OpenAPI 3.1 document."),
}

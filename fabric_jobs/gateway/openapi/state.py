"""The state of the owner: its size, what may go, a backup, a check."""

from __future__ import annotations

from typing import Any

from fabric_jobs.gateway.openapi.parts import (
    PROJECT,
    WAIT,
    Answer,
    Body,
    Operation,
    P,
    flag,
    in_query,
    listed,
    paths,
    ref,
    whole,
)

TAG = "operating"
PATHS: dict[str, Any] = {
    f"{P}/state/size": paths(
        get=Operation(
            name="showSize",
            meaning="Show how large the state is, and the activations that have most of it.",
            tag=TAG,
            parameters=(PROJECT, whole("top", "So many activations.", 10, high=10_000)),
            answer=Answer(schema=ref("Size")),
        )
    ),
    f"{P}/state/check": paths(
        get=Operation(
            name="checkState",
            meaning="Look for what cannot be, and count every record.",
            tag=TAG,
            parameters=(PROJECT,),
            answer=Answer(schema=ref("Check")),
        )
    ),
    f"{P}/state/prune": paths(
        get=Operation(
            name="choosePrunable",
            meaning="List the activations of the project that may go, the oldest first; nothing is deleted.",
            tag=TAG,
            parameters=(
                PROJECT,
                in_query("olderThanSeconds", "That ended so long ago.", type="number", minimum=0, maximum=2**53),
                in_query("maxBytes", "Until the state is no larger.", type="integer", minimum=0, maximum=2**53),
                whole("keepLast", "So many of the newest stay.", 0),
                flag("deadLetters", "Also those with dead letters that nobody has retried."),
            ),
            answer=listed("activations", ref("Prunable")),
        ),
        post=Operation(
            name="pruneState",
            meaning="Delete activations of the project for some seconds; call again with those that are left.",
            tag=TAG,
            parameters=(PROJECT,),
            body=Body(
                schema={
                    "type": "object",
                    "properties": {
                        "activations": {"type": "array", "items": {"type": "string"}},
                        "deadLetters": {"type": "boolean", "default": False},
                    },
                },
                example={"activations": ["0123456789abcdef01234567"]},
            ),
            answer=Answer(schema=ref("Pruned")),
        ),
    ),
    f"{P}/state/retire": paths(
        post=Operation(
            name="retireOwner",
            meaning="End an owner that a command has started, unless something runs; over its Unix socket only.",
            tag=TAG,
            parameters=(PROJECT,),
            answer=Answer(schema=ref("Retired")),
        )
    ),
    f"{P}/state/compact": paths(
        post=Operation(
            name="compactState",
            meaning="Give the free part of the database back to the disk, unless something runs.",
            tag=TAG,
            parameters=(PROJECT,),
            answer=Answer(schema=ref("Compacted")),
        )
    ),
    f"{P}/state/backup": paths(
        get=Operation(
            name="showBackup",
            meaning="Show how far the last backup is.",
            tag=TAG,
            parameters=(PROJECT, WAIT),
            answer=Answer(schema=ref("Backup")),
            errors=("404",),
        ),
        post=Operation(
            name="startBackup",
            meaning="Begin a backup to a file or directory of the owner's machine; over its Unix socket only.",
            tag=TAG,
            parameters=(PROJECT,),
            body=Body(
                schema={
                    "type": "object",
                    "properties": {
                        "destination": {"type": "string", "minLength": 1, "description": "An absolute path."},
                        "logs": {"type": "boolean", "default": True},
                    },
                    "required": ["destination"],
                },
                example={"destination": "/backups/monday.tar.gz"},
            ),
            answer=Answer(schema=ref("Backup")),
            errors=("409",),
        ),
    ),
}

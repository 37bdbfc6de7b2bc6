"""The OpenAPI 3.1 document of the gateway, kept by hand: `/openapi.json`.

Each module here has `PATHS` for some resources, and they are joined below. A test compares them with the routes that there are, and
schemathesis compares them with what is answered. A new route is one more entry, and its shape one more in `schemas`:

    f"{P}/things/{{name}}": paths(
        get=Operation(
            name="showThing", meaning="Show a thing.", tag="things", parameters=(PROJECT, NAME),
            answer=Answer(schema=ref("Thing")), errors=("404",),
        )
    )
"""

from __future__ import annotations

from typing import Any

import fabric_jobs
from fabric_jobs.gateway.openapi import dead_letters, definitions, logs, operating, running, state
from fabric_jobs.gateway.openapi.schemas import SCHEMAS

DESCRIPTION = """Runs skills and agents, and tells how they go. Every call needs the bearer token of the owner's user, which is in
`owner.json` of the state directory; calls of running jobs need the token of their message."""

PATHS: dict[str, dict[str, Any]] = {
    **definitions.PATHS,
    **running.PATHS,
    **logs.PATHS,
    **dead_letters.PATHS,
    **state.PATHS,
    **operating.PATHS,
}


def document(url: str = "/") -> dict[str, Any]:
    """Return the whole document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "fabric_jobs gateway",
            "version": fabric_jobs.__version__,
            "description": DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": url}],
        "security": [{"user": []}],
        "tags": [
            {"name": "definitions", "description": "Skills and agents, by version."},
            {"name": "activations", "description": "Invocations, and what they answered."},
            {"name": "tasks", "description": "The running instances of actions."},
            {"name": "dead letters", "description": "Records that used up their attempts."},
            {"name": "operating", "description": "Health, numbers, versions, and the state on the disk."},
            {"name": "jobs", "description": "What running jobs call, with the token of their message."},
        ],
        "paths": PATHS,
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {
                "user": {"type": "http", "scheme": "bearer", "description": "The token of the owner's user."},
                "task": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "The token of a message: good for its own task.",
                },
            },
        },
    }

"""What else there is of connections: their types, and the route by which programs get one with its secrets."""

from __future__ import annotations

import asyncio

from starlette.responses import Response

from fabric_jobs.gateway.documents import find, shown
from fabric_jobs.gateway.json_response import Json
from fabric_jobs.gateway.kinds import CONNECTION
from fabric_jobs.gateway.operation import Call, Operation

# Kinds of systems that Fabric's own connections lead to. The gateway connects to nothing, so any other text will do as well.
TYPES = {
    "gcs": "Google Cloud Storage",
    "hive": "Apache Hive",
    "jdbc_generic": "Any database with a JDBC driver",
    "mongo": "MongoDB",
    "mssql": "Microsoft SQL Server",
    "mysql": "MySQL",
    "postgresql": "PostgreSQL",
    "s3": "Amazon S3, or a store with the same interface",
    "s3FileStream": "Files of a store with the interface of Amazon S3",
}
NO_STORE = {"cache-control": "no-store"}


async def list_connection_types(call: Call) -> Response:
    """List usual types of connections. Any other text may be the `connectionType` of one, too."""
    found = [{"name": name, "title": title, "description": ""} for name, title in TYPES.items()]
    return Json({"success": True, "connectionTypes": found})


async def show_resolved_connection(call: Call) -> Response:
    """Show a connection to a program, with the secrets that `#SECURE.<key>` stands for.

    400 if there is no such secret.
    """
    whole = shown(find(call, CONNECTION))
    resolved = await asyncio.to_thread(call.parts.secrets.resolved, call.project, whole)
    return Json(resolved, headers=NO_STORE)


OPERATIONS = (
    Operation("GET", "/fabric/v4/connectiontypes", list_connection_types, answer="ConnectionTypes"),
    Operation(
        "GET",
        "/internal/projects/{project}/connections/{name:path}",
        show_resolved_connection,
        answer="SavedDocument",
        role="run",
    ),
)

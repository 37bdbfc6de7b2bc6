"""What else there is of connections: their types."""

from __future__ import annotations

from starlette.responses import Response

from fabric_jobs.gateway.json_response import Json
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


async def list_connection_types(call: Call) -> Response:
    """List usual types of connections. Any other text may be the `connectionType` of one, too."""
    found = [{"name": name, "title": title, "description": ""} for name, title in TYPES.items()]
    return Json({"success": True, "connectionTypes": found})


OPERATIONS = (Operation("GET", "/fabric/v4/connectiontypes", list_connection_types, answer="ConnectionTypes"),)

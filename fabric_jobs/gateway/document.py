"""Answers with the OpenAPI document; it needs no token, for it holds nothing of this gateway but its version."""

from __future__ import annotations

from functools import cache

import orjson
from starlette.responses import Response

from fabric_jobs.gateway.operation import Call, Operation


async def openapi(call: Call) -> Response:
    """Answer with the OpenAPI document."""
    return Response(_text(call.app.state.operations), media_type="application/json")


@cache
def _text(operations: tuple[Operation, ...]) -> bytes:
    from fabric_jobs.gateway.openapi import document  # late: most owners are never asked for it

    return orjson.dumps(document(operations))


OPERATIONS = (Operation("GET", "/openapi.json", openapi, answer="OpenApi", caller="none"),)

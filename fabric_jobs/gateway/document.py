"""Serves the OpenAPI document, without a token: the only thing it says about this gateway is its version."""

from __future__ import annotations

import orjson
from starlette.responses import Response

from fabric_jobs.gateway.operation import Call, Operation


async def openapi(call: Call) -> Response:
    """Answer with the OpenAPI document."""
    state = call.app.state
    if not hasattr(state, "document"):
        from fabric_jobs.gateway.openapi import document  # late: most owners never need it

        state.document = orjson.dumps(document(state.operations))
    return Response(state.document, media_type="application/json")


OPERATIONS = (Operation("GET", "/openapi.json", openapi, answer="OpenApi", caller="none"),)

"""Answers with the OpenAPI document; it needs no token, for it holds nothing of this gateway but its version."""

from __future__ import annotations

from functools import cache

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


async def openapi(request: Request) -> Response:
    """Answer with the document."""
    return Response(_text(), media_type="application/json")


@cache
def _text() -> bytes:
    from fabric_jobs.gateway.openapi import document  # late: most owners are never asked for it

    return orjson.dumps(document())


ROUTES = [Route("/openapi.json", openapi, methods=["GET"])]

"""What an operator and a client ask first: is it there, is it ready, which version is it."""

from __future__ import annotations

import asyncio
import time

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import fabric_jobs
from fabric_jobs.errors import PlaceUnavailable
from fabric_jobs.gateway.json_response import Json
from fabric_jobs.gateway.parts import parts_of, user_of
from fabric_jobs.store import Tx

READY_SECONDS = 2.0  # within which the store has to take a write
CLIENTS = ">=2.0.0"  # docs/reference/compatibility.md#versions-of-the-client


async def info(request: Request) -> Response:
    """Answer without a token."""
    return Json(
        {
            "serverTs": round(time.time() * 1000),
            "version": fabric_jobs.__version__,
            "healths": [],
            "deployType": "fabric_jobs",
            "endpoints": '{"registry":{"url":""}}',
        }
    )


async def compatibility(request: Request) -> Response:
    """Tell Fabric's own command that it may call."""
    user_of(request)
    return Json({"semver": CLIENTS})


async def healthz(request: Request) -> Response:
    """The process answers."""
    return Json({"status": "ok"})


async def readyz(request: Request) -> Response:
    """The store takes writes, the engine runs, and nobody has asked for the end."""
    parts = parts_of(request)
    checks = {"store": await _writes(request), "engine": "ok" if parts.engine.alive else "its thread has ended"}
    if parts.live.closing:
        checks["owner"] = "it is ending"
    ready = all(said == "ok" for said in checks.values())
    body = {"status": "ok" if ready else "not ready", "checks": checks}
    return Json(body, status_code=200 if ready else 503)


async def _writes(request: Request) -> str:
    """Write a row to the disk; callers that come together share one, for anybody may call."""
    state = request.app.state
    running = getattr(state, "ready_write", None)
    if running is None or running.done():
        running = state.ready_write = asyncio.ensure_future(asyncio.wrap_future(parts_of(request).store.write(_touch)))
    try:
        await asyncio.wait_for(asyncio.shield(running), READY_SECONDS)
    except TimeoutError:
        return f"it did not take a write within {READY_SECONDS:g} s"
    except PlaceUnavailable as error:
        return error.message
    return "ok"


def _touch(tx: Tx) -> None:
    tx.run("put_setting", key="ready_at", value=str(round(time.time())))


ROUTES = [
    Route("/fabric/v4/info", info, methods=["GET"]),
    Route("/fabric/v4/compatibility/applications/cortex-cli", compatibility, methods=["GET"]),
    Route("/healthz", healthz, methods=["GET"]),
    Route("/readyz", readyz, methods=["GET"]),
]

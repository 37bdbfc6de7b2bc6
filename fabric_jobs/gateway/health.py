"""Health: alive, ready, version."""

from __future__ import annotations

import asyncio
import json
import time

from starlette.responses import Response

import fabric_jobs
from fabric_jobs.durations import spelled
from fabric_jobs.errors import FabricJobsError, PlaceUnavailable
from fabric_jobs.gateway.json_response import Json
from fabric_jobs.gateway.operation import Call, Operation
from fabric_jobs.store import Tx

READY_SECONDS = 2.0  # the store must take a write within this time
NO_REGISTRY = "localhost"
CLIENTS = ">=2.0.0"  # docs/reference/compatibility.md#versions-of-the-client


async def info(call: Call) -> Response:
    """Tell time and version."""
    return Json(
        {
            "serverTs": round(time.time() * 1000),
            "version": fabric_jobs.__version__,
            "healths": [],
            "deployType": "fabric_jobs",
            "endpoints": json.dumps({"registry": {"url": await asyncio.to_thread(current_registry)}}),
        }
    )


def current_registry() -> str:
    """Return where images are pushed to (docs/reference/compatibility.md#registries)."""
    from fabric_jobs.images.registries import active

    try:
        found = active()
    except FabricJobsError:  # a file that the owner's user has to mend; it concerns no caller
        found = None
    return "/".join(filter(None, (found.url, found.namespace))) if found else NO_REGISTRY


async def compatibility(call: Call) -> Response:
    """Tell which versions of Fabric's own command may call."""
    return Json({"semver": CLIENTS})


async def healthz(call: Call) -> Response:
    """Tell that the process answers."""
    return Json({"status": "ok"})


async def readyz(call: Call) -> Response:
    """Tell whether the store takes a write within two seconds, the engine runs, and nobody has asked for the end."""
    parts = call.parts
    checks = {"store": await _writes(call), "engine": "ok" if parts.engine.alive else "its thread has ended"}
    if parts.live.closing:
        checks["owner"] = "it is ending"
    ready = all(said == "ok" for said in checks.values())
    body = {"status": "ok" if ready else "not ready", "checks": checks}
    return Json(body, status_code=200 if ready else 503)


async def _writes(call: Call) -> str:
    """Write a row to the disk; simultaneous callers share one write, since no token is needed to call this."""
    state = call.app.state
    running = getattr(state, "ready_write", None)
    if running is None or running.done():
        running = state.ready_write = asyncio.ensure_future(asyncio.wrap_future(call.parts.store.write(_touch)))
    try:
        await asyncio.wait_for(asyncio.shield(running), READY_SECONDS)
    except TimeoutError:
        return f"it did not take a write within {spelled(READY_SECONDS)}"
    except PlaceUnavailable as error:
        return error.message
    return "ok"


def _touch(tx: Tx) -> None:
    tx.run("put_setting", key="ready_at", value=str(round(time.time())))


OPERATIONS = (
    Operation("GET", "/fabric/v4/info", info, answer="Info", caller="none"),
    Operation("GET", "/fabric/v4/compatibility/applications/cortex-cli", compatibility, answer="Compatibility"),
    Operation("GET", "/healthz", healthz, answer="Healthy", caller="none"),
    Operation(
        "GET",
        "/readyz",
        readyz,
        answer="Ready",
        others={"503": ("Not now; `checks` says why.", "Ready", "Error")},
        caller="none",
    ),
)

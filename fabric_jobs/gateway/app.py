"""The application: joins the routes; jobs come in under /px, also with a port after it (reference/fabric.md 6.3 a)."""

from __future__ import annotations

import re
import time

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

import fabric_jobs
from fabric_jobs.errors import FabricJobsError
from fabric_jobs.gateway import activations, dead_letters, internal, skills, state, tasks, trace
from fabric_jobs.gateway.errors import ERROR_HANDLERS, answer_error
from fabric_jobs.gateway.json_response import Json
from fabric_jobs.gateway.parts import Parts

ATTEMPT_CALL = re.compile(r"/internal/attempts/(?P<attempt>[^/]+)/(?P<verb>commit|pull)")
JOBS_PREFIX = re.compile(r"^/px(:\d+)?(?=/)")


async def info(request: Request) -> Response:
    """Answer without a token (reference/fabric.md 6.2, Bootstrapping)."""
    return Json(
        {
            "serverTs": round(time.time() * 1000),
            "version": fabric_jobs.__version__,
            "healths": [],
            "deployType": "fabric_jobs",
            "endpoints": '{"registry":{"url":""}}',
        }
    )


async def healthz(request: Request) -> Response:
    """The process answers."""
    return Json({"status": "ok"})


def make_app(parts: Parts) -> ASGIApp:
    """Return the ASGI application of an owner."""
    routes = [
        *internal.ROUTES,  # first: the router tries the routes in order, and these are called most
        Route("/fabric/v4/info", info),
        Route("/healthz", healthz),
        *tasks.ROUTES,  # before those of skills: theirs match greedily, also the path of a skill's log
        *skills.ROUTES,
        *trace.ROUTES,  # before the activations, whose paths take what is left
        *activations.ROUTES,
        *dead_letters.ROUTES,
        *state.ROUTES,
    ]
    app = Starlette(routes=routes, exception_handlers=ERROR_HANDLERS)
    app.state.parts = parts

    async def without_prefix(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["path"] = JOBS_PREFIX.sub("", scope["path"])
            if (found := ATTEMPT_CALL.fullmatch(scope["path"])) and (scope["method"], found["verb"]) in internal.HOT:
                await _call_hot(app, scope, receive, send, found)
                return
        await app(scope, receive, send)

    return without_prefix


async def _call_hot(app: Starlette, scope: Scope, receive: Receive, send: Send, found: re.Match[str]) -> None:
    """Answer a commit or a pull without router and middleware: about a seventh of its time in a profile."""
    scope["app"] = app
    scope["path_params"] = {"attempt": found["attempt"]}
    request = Request(scope, receive, send)
    try:
        response = await internal.HOT[scope["method"], found["verb"]](request)
    except FabricJobsError as error:
        response = await answer_error(request, error)
    await response(scope, receive, send)

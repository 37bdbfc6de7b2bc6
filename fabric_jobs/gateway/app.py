"""The application: joins the routes; jobs call below /px or /px:PORT (docs/reference/http.md)."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from fabric_jobs.errors import FabricJobsError
from fabric_jobs.gateway import (
    access_tokens,
    actions,
    activations,
    agent_events,
    apis,
    artifacts,
    attempt_output,
    batches,
    callbacks,
    code_metrics,
    connections,
    content,
    cortex_jobs,
    dead_letters,
    definitions,
    dependencies,
    document,
    documents,
    events,
    experiments,
    health,
    internal,
    invoke,
    job_logs,
    jobs,
    metrics,
    operator,
    pools,
    projects,
    schedules,
    secrets,
    sessions,
    snapshots,
    state,
    stream_logs,
    tasks,
    trace,
)
from fabric_jobs.gateway.errors import ERROR_HANDLERS, answer_error, answer_nobody
from fabric_jobs.gateway.operation import Operation
from fabric_jobs.gateway.parts import Parts

ATTEMPT_CALL = re.compile(
    r"/internal/(attempts/(?P<attempt>[^/]+)/(?P<verb>commit|pull|batches)"
    r"|(?P<message>messages)/(?P<activation>[^/]+)/(?P<channel>[^/]+)/(?P<output>[^/]+))"
)
JOBS_PREFIX = re.compile(r"^/px(:\d+)?(?=/)")  # docs/reference/compatibility.md#ports-behind-the-address
TWICE = re.compile(r"^/fabric/v4//(?=fabric/v4/)")  # docs/reference/compatibility.md#doubled-prefixes


HOT = {**internal.HOT, **batches.HOT}

# The router tries them in this order, so the most frequent calls come first.
OPERATIONS: tuple[Operation, ...] = (
    *internal.OPERATIONS,
    *batches.OPERATIONS,
    *attempt_output.OPERATIONS,
    *code_metrics.OPERATIONS,
    *pools.OPERATIONS,
    *health.OPERATIONS,
    *invoke.OPERATIONS,
    *trace.OPERATIONS,  # before the activations, whose paths match greedily
    *activations.OPERATIONS,
    *events.OPERATIONS,
    *callbacks.OPERATIONS,
    *tasks.OPERATIONS,  # before the definitions, which match greedily, even the path of a skill's log
    *snapshots.OPERATIONS,  # before the definitions, too
    *definitions.OPERATIONS,
    *dependencies.OPERATIONS,
    *dead_letters.OPERATIONS,
    *apis.OPERATIONS,
    *jobs.OPERATIONS,
    *job_logs.OPERATIONS,
    *schedules.OPERATIONS,
    *content.OPERATIONS,
    *projects.OPERATIONS,
    *access_tokens.OPERATIONS,
    *secrets.OPERATIONS,
    *artifacts.OPERATIONS,
    *experiments.OPERATIONS,  # before the other documents, which match greedily
    *actions.OPERATIONS,
    *connections.OPERATIONS,
    *documents.OPERATIONS,
    *sessions.OPERATIONS,
    *state.OPERATIONS,
    *metrics.OPERATIONS,
    *document.OPERATIONS,
    *operator.OPERATIONS,
    *cortex_jobs.OPERATIONS,  # the endpoint of an API may be any path that nothing else has
)


def make_app(parts: Parts) -> ASGIApp:
    """Return the ASGI application of an owner."""
    routes = [*(operation.route() for operation in OPERATIONS), *agent_events.ROUTES, *stream_logs.ROUTES]
    app = Starlette(routes=routes, exception_handlers=ERROR_HANDLERS)
    app.router.redirect_slashes = False  # docs/reference/compatibility.md#redirects
    app.state.parts, app.state.operations = parts, OPERATIONS

    async def without_prefix(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            scope["path"] = TWICE.sub("/", JOBS_PREFIX.sub("", scope["path"]))
            if found := ATTEMPT_CALL.fullmatch(scope["path"]):
                handler = HOT.get((scope.get("method", ""), found["verb"] or found["message"]))
                if handler is not None:
                    scope["app"], scope["path_params"] = app, found.groupdict()
                    answer = await _answer_hot(handler, Request(scope, receive, send))
                    await answer(scope, receive, send)
                    return
        await app(scope, receive, send)

    return without_prefix


async def _answer_hot(handler: Callable[[Any], Awaitable[Response]], request: Request) -> Response:
    """Answer a frequent call of jobs without router and middleware, which took about a seventh of its time in a profile."""
    try:
        return await handler(request)
    except FabricJobsError as error:
        return await answer_error(request, error)
    except ClientDisconnect as error:
        return await answer_nobody(request, error)

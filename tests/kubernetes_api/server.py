"""The API server over plain HTTP, in a thread of a test or in a process of its own: `python -m tests.kubernetes_api.server`."""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import orjson
from aiohttp import web

from tests.kubernetes_api.cluster import QUICK, Node, Pace, Program
from tests.kubernetes_api.objects import API_VERSIONS, Object, Objects, Refused, Watcher, selected
from tests.kubernetes_api.programs import Processes, Shipping

BOOKMARK_SECONDS = 1.0
LOG_SECONDS = 0.02  # between two looks at a log that is followed
YEAR = datetime(2026, 1, 1, tzinfo=UTC)
T = TypeVar("T")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Faults:
    """What goes wrong on request. All fields may be set from any thread."""

    def __init__(self) -> None:
        self.delay = 0.0  # seconds before each answer
        self.refusals: list[Refused] = []  # each is the next answer once
        self.answers: dict[tuple[str, str], Refused] = {}  # by (verb, kind), until it is taken away
        self.denied: set[tuple[str, str]] = set()  # (verb, kind) that this user may not
        self.cuts_logs = False  # connections of logs that are followed
        self.scripted: dict[str, list[bytes | Refused]] = {}  # "verb kind" -> each is the next answer once

    def check(self, verb: str, kind: str) -> None:
        """Raise Refused if this question is answered with an error."""
        if self.refusals:
            raise self.refusals.pop(0)
        if (verb, kind) in self.answers:
            raise self.answers[verb, kind]
        if (verb, kind) in self.denied:
            words = f'{kind} is forbidden: User "test" cannot {verb} resource "{kind}" in API group ""'
            raise Refused(403, "Forbidden", words, kind=kind)

    def script(self, question: str) -> web.Response:
        """Return the next of the scripted answers; raise it if it is an error."""
        answer = self.scripted[question].pop(0)
        if isinstance(answer, Refused):
            raise answer
        return web.Response(body=answer)


class Server:
    """Answers as an API server does. `objects` and `node` belong to its loop."""

    def __init__(self, program: Program, *, pace: Pace = QUICK, room: int = 1_000_000) -> None:
        self.objects = Objects()
        self.node = Node(self.objects, program, pace=pace, room=room)
        self.faults = Faults()
        self.asked: Counter[str] = Counter()  # "verb kind" -> questions
        self.watched = 0  # bytes that watches were sent
        self.address = "127.0.0.1"  # of the node
        self.port = 0
        self.more: Callable[[], dict[str, Any]] = dict  # figures of programs
        self._runner: web.AppRunner | None = None

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen."""
        app = web.Application(middlewares=[self._guard], client_max_size=4 << 20)
        for group in sorted(
            {f"/apis/{version}" if "/" in version else "/api/v1" for version, _ in API_VERSIONS.values()}
        ):
            every = f"{group}/namespaces/{{namespace}}/{{kind}}"
            app.router.add_get(every, self._list)
            app.router.add_post(every, self._create)
            app.router.add_get(f"{every}/{{name}}", self._get)
            app.router.add_patch(f"{every}/{{name}}", self._patch)
            app.router.add_delete(f"{every}/{{name}}", self._delete)
        app.router.add_get("/api/v1/namespaces/{namespace}/pods/{name}/log", self._log)
        app.router.add_get("/api/v1/namespaces/{namespace}", self._namespace)
        app.router.add_get("/version", self._version)
        app.router.add_get("/api/v1/nodes", self._nodes)
        app.router.add_post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", self._review)
        app.router.add_get("/counts", self._counts)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        await site.start()
        self.port = int(self._runner.addresses[0][1])

    async def close(self) -> None:
        """End everything."""
        await self.node.close()
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def figures(self) -> dict[str, Any]:
        """Return what was asked and what there is."""
        return {
            "requests": dict(self.asked),
            "watch_bytes": self.watched,
            "most_pods": self.node.most,
            "pods": len(self.node.pods),
            **self.more(),
        }

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        last = request.path.rpartition("/")[2]
        kind = request.match_info.get("kind", "namespaces" if last == request.match_info.get("namespace") else last)
        verb = _verb(request)
        if request.path == "/counts":
            return await handler(request)
        self.asked[f"{verb} {kind}"] += 1
        try:
            if self.faults.delay:
                await asyncio.sleep(self.faults.delay)
            self.faults.check(verb, kind)
            if self.faults.scripted.get(f"{verb} {kind}"):
                return self.faults.script(f"{verb} {kind}")
            if "kind" in request.match_info and kind not in API_VERSIONS:
                raise Refused(404, "NotFound", "the server could not find the requested resource")
            return await handler(request)
        except Refused as error:
            return _json(error.body, error.code)

    async def _list(self, request: web.Request) -> web.StreamResponse:
        namespace, kind, query = request.match_info["namespace"], request.match_info["kind"], request.query
        matches = selected(query.get("labelSelector", ""), query.get("fieldSelector", ""))
        if query.get("watch") in ("1", "true"):
            return await self._watch(request, matches)
        version, word = API_VERSIONS[kind]
        metadata = {"resourceVersion": str(self.objects.version)}
        items = self.objects.every(kind, namespace, matches)
        return _json({"kind": f"{word}List", "apiVersion": version, "metadata": metadata, "items": items})

    async def _watch(self, request: web.Request, matches: Callable[[Object], bool]) -> web.StreamResponse:
        namespace, kind, query = request.match_info["namespace"], request.match_info["kind"], request.query
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        try:
            watcher = self.objects.watch(kind, namespace, int(query.get("resourceVersion") or 0), matches)
        except Refused as error:  # the answer is a success, and its first line is the error
            await response.prepare(request)
            await response.write(orjson.dumps({"type": "ERROR", "object": error.body}) + b"\n")
            return response
        await response.prepare(request)
        try:
            with suppress(ConnectionError):
                await self._send(response, watcher, float(query.get("timeoutSeconds") or 3600))
        finally:
            self.objects.leave(watcher)
        return response

    async def _send(self, response: web.StreamResponse, watcher: Watcher, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while (left := until - loop.time()) > 0:
            try:
                lines = await asyncio.wait_for(watcher.lines.get(), min(left, BOOKMARK_SECONDS))
            except TimeoutError:
                version, word = API_VERSIONS[watcher.kind]
                bookmark = {
                    "kind": word,
                    "apiVersion": version,
                    "metadata": {"resourceVersion": str(self.objects.version)},
                }
                lines = orjson.dumps({"type": "BOOKMARK", "object": bookmark}) + b"\n"
            while not watcher.lines.empty():
                lines += watcher.lines.get_nowait()
            self.watched += len(lines)
            await response.write(lines)

    async def _create(self, request: web.Request) -> web.StreamResponse:
        namespace, kind = request.match_info["namespace"], request.match_info["kind"]
        body = orjson.loads(await request.read())
        if request.query.get("dryRun") == "All":
            return _json(body, 201)
        return _json(self.objects.create(kind, namespace, body), 201)

    async def _get(self, request: web.Request) -> web.StreamResponse:
        where = request.match_info
        return _json(self.objects.get(where["kind"], where["namespace"], where["name"]))

    async def _patch(self, request: web.Request) -> web.StreamResponse:
        where = request.match_info
        body = orjson.loads(await request.read())
        return _json(self.objects.change(where["kind"], where["namespace"], where["name"], body))

    async def _delete(self, request: web.Request) -> web.StreamResponse:
        where = request.match_info
        text = await request.read()
        grace = (orjson.loads(text) if text else {}).get("gracePeriodSeconds")
        return _json(self.node.delete(where["kind"], where["namespace"], where["name"], grace))

    async def _log(self, request: web.Request) -> web.StreamResponse:
        where = request.match_info
        self.objects.get("pods", where["namespace"], where["name"])
        pod = self.node.pods[where["namespace"], where["name"]]
        response = web.StreamResponse()
        await response.prepare(request)
        sent = pod.rotated
        with suppress(ConnectionError):
            while True:
                if self.faults.cuts_logs and request.transport is not None:
                    request.transport.abort()
                    break
                is_over = "terminated" in json.dumps(pod.body.get("status"))
                text = bytes(pod.log)[: None if is_over else pod.log.rfind(b"\n") + 1]
                if len(text) > sent:
                    await response.write(_shown(text, sent, request.query))
                    sent = len(text)
                elif is_over or request.query.get("follow") != "true":
                    break
                else:
                    await asyncio.sleep(LOG_SECONDS)
        return response

    async def _namespace(self, request: web.Request) -> web.StreamResponse:
        metadata = {"name": request.match_info["namespace"]}
        return _json({"kind": "Namespace", "apiVersion": "v1", "metadata": metadata, "status": {"phase": "Active"}})

    async def _version(self, request: web.Request) -> web.StreamResponse:
        return _json({"major": "1", "minor": "34", "gitVersion": "v1.34.4"})

    async def _nodes(self, request: web.Request) -> web.StreamResponse:
        status = {"addresses": [{"type": "InternalIP", "address": self.address}]}
        items = [{"metadata": {"name": "node"}, "status": status}]
        return _json({"kind": "NodeList", "metadata": {"resourceVersion": "1"}, "items": items})

    async def _review(self, request: web.Request) -> web.StreamResponse:
        body = orjson.loads(await request.read())
        asked = body["spec"]["resourceAttributes"]
        is_allowed = (asked.get("verb"), asked.get("resource")) not in self.faults.denied
        return _json({**body, "status": {"allowed": is_allowed}}, 201)

    async def _counts(self, request: web.Request) -> web.StreamResponse:
        return _json(self.figures())


class Running:
    """A server in a thread. `call` runs something in its loop."""

    def __init__(self, server: Server, loop: asyncio.AbstractEventLoop) -> None:
        self.server = server
        self.faults = server.faults
        self._loop = loop

    @property
    def url(self) -> str:
        """Its address."""
        return self.server.url

    def call(self, step: Callable[[Server], T]) -> T:
        """Return what a function returns that the loop's thread calls."""

        async def run() -> T:
            return step(self.server)

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(30)

    def kubeconfig(self, path: Path, url: str = "") -> Path:
        """Write a kubeconfig that leads to it, or to a proxy before it."""
        return write_kubeconfig(path, url or self.url)


def write_kubeconfig(path: Path, url: str) -> Path:
    """Write a kubeconfig for an API server; return its path."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": url}}],
        "users": [{"name": "test", "user": {"token": "test"}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": "default"}}],
        "current-context": "test",
    }
    path.write_text(json.dumps(config))  # JSON is YAML
    return path


@contextmanager
def serving(program: Program | None = None, *, pace: Pace = QUICK, room: int = 1_000_000) -> Iterator[Running]:
    """Serve in a thread; by default the programs of pods are processes of this machine."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="api-server", daemon=True)
    thread.start()

    async def start() -> Server:
        server = Server(program or Processes(without_python=("busybox",)), pace=pace, room=room)
        await server.start()
        return server

    server = asyncio.run_coroutine_threadsafe(start(), loop).result(30)
    try:
        yield Running(server, loop)
    finally:
        asyncio.run_coroutine_threadsafe(server.close(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def _shown(text: bytes, begin: int, query: Mapping[str, str]) -> bytes:
    """Return what of a log is shown from a byte on. Its first line is as old as this year, and each is 1 ms younger."""
    if query.get("timestamps") != "true":
        return text[begin:]
    first, shown = text.count(b"\n", 0, begin), []
    for number, line in enumerate(re.findall(rb"[^\n]*\n|[^\n]+$", text[begin:]), first):
        time = (YEAR + timedelta(milliseconds=number)).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")
        if time[:19] >= query.get("sinceTime", "")[:19]:
            shown.append(f"{time} ".encode() + line)
    return b"".join(shown)


def _verb(request: web.Request) -> str:
    if request.method == "GET":
        if request.query.get("watch"):
            return "watch"
        return "get" if "name" in request.match_info else "list"
    return {"POST": "create"}.get(request.method, request.method.lower())


def _json(body: Object, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")


async def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.0, help="how long programs take")
    parser.add_argument("--room", type=int, default=1_000_000, help="pods at a time")
    parser.add_argument("--lines", type=int, default=0, help="numbers that the skill 'source' prints")
    wanted = parser.parse_args()
    lines = "".join(f"{number}\n" for number in range(wanted.lines)).encode()
    program = Shipping(wanted.seconds, {"source": lines})
    server = Server(program, pace=Pace(), room=wanted.room)
    server.more = lambda: {"shipped": program.sent, "shipped_in_vain": program.failed}
    await server.start()
    print(server.port, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(_main())

"""Asks a cluster, in one asyncio loop. Errors of the library stop here and in `session`.

Objects are plain dicts, as in the cluster's JSON: decoding thousands of pods into the library's classes takes longer than
everything else that is done with them.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from fabric_jobs.errors import ExecutorUnavailable
from fabric_jobs.kubernetes.failures import Missing, failure, strange
from fabric_jobs.kubernetes.login import is_inside
from fabric_jobs.kubernetes.session import SECONDS, Session

Object = dict[str, Any]

SILENT_SECONDS = 90.0  # of a watch, after which its connection is dead: there is a bookmark about once a minute
DATA = 0  # the channel of the data of a tunnel
PATHS = {  # of the objects that are used here
    "pods": "/api/v1",
    "secrets": "/api/v1",
    "configmaps": "/api/v1",
    "services": "/api/v1",
    "events": "/api/v1",
    "jobs": "/apis/batch/v1",
    "deployments": "/apis/apps/v1",
    "statefulsets": "/apis/apps/v1",
    "serviceaccounts": "/api/v1",
    "roles": "/apis/rbac.authorization.k8s.io/v1",
    "rolebindings": "/apis/rbac.authorization.k8s.io/v1",
    "networkpolicies": "/apis/networking.k8s.io/v1",
    "poddisruptionbudgets": "/apis/policy/v1",
}
MERGE, APPLY = "application/merge-patch+json", "application/apply-patch+yaml"
MANAGER = "fabric-jobs"  # of what is applied


@dataclass(frozen=True, kw_only=True)
class Where:
    """Which cluster and namespace; empty: those of the current context, or of the pod that this is."""

    context: str = field(default_factory=lambda: os.environ.get("FABRIC_JOBS_KUBERNETES_CONTEXT", ""))
    namespace: str = field(default_factory=lambda: os.environ.get("FABRIC_JOBS_KUBERNETES_NAMESPACE", ""))


class Cluster:
    """A cluster, and one namespace in it. Every method may raise ExecutorUnavailable, Missing, Conflict or Rejected."""

    def __init__(self, where: Where, patience: float | None = None) -> None:
        """Connect with the first question. `patience`: for a login program, in seconds (see `session`)."""
        self._context = where.context
        self._session = Session(where.context, patience)
        self._chosen = where.namespace

    @property
    def namespace(self) -> str:
        """The namespace; known after the first question."""
        return self._chosen or self._session.namespace

    @property
    def is_around(self) -> bool:
        """Whether this process runs in one of its pods."""
        return is_inside(self._context)

    @property
    def url(self) -> str:
        """The address of the API server; empty before the first question."""
        return self._session.url

    @property
    def requests(self) -> int:
        """How many requests were sent so far."""
        return self._session.requests

    async def get(self, kind: str, name: str) -> Object:
        """Return an object."""
        return await self._json("GET", await self._path(kind, name))

    async def list(self, kind: str, labels: str = "", fields: str = "") -> tuple[list[Object], str]:
        """Return the objects that have the labels and fields, and the version from which `watch` goes on."""
        query = {"labelSelector": labels, "fieldSelector": fields}
        found = await self._json("GET", await self._path(kind), {key: value for key, value in query.items() if value})
        return list(found.get("items") or ()), str(found["metadata"]["resourceVersion"])

    @asynccontextmanager
    async def watch(
        self, kind: str, labels: str, version: str, seconds: float
    ) -> AsyncIterator[AsyncIterator[tuple[str, Object]]]:
        """Open the changes after a version, (ADDED, MODIFIED, DELETED or BOOKMARK, object), for about some seconds.

        They raise Missing when the cluster has forgotten that version: list again.
        """
        query = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "labelSelector": labels,
            "resourceVersion": version,
            "timeoutSeconds": str(int(seconds)),
        }
        async with self._stream(await self._path(kind), query, seconds + SECONDS, SILENT_SECONDS) as pieces:
            yield self._events(pieces)

    async def create(self, kind: str, body: Object, *, dry_run: bool = False) -> Object:
        """Create an object."""
        return await self._json("POST", await self._path(kind), {"dryRun": "All"} if dry_run else {}, body)

    async def send(self, method: str, path: str, body: Object, *, dry_run: bool = False) -> Object:
        """Create an object of any kind (POST, at the path of its kind), or merge a patch into one (PATCH, at its own)."""
        kind = MERGE if method == "PATCH" else ""
        return await self._json(method, path, {"dryRun": "All"} if dry_run else {}, body, kind)

    async def patch(self, kind: str, name: str, body: Object) -> Object:
        """Merge a patch (RFC 7396) into an object."""
        return await self._json("PATCH", await self._path(kind, name), {}, body, MERGE)

    async def apply(self, kind: str, body: Object) -> Object:
        """Create an object, or change what of it the body names (server-side apply)."""
        query = {"fieldManager": MANAGER, "force": "true"}
        return await self._json("PATCH", await self._path(kind, body["metadata"]["name"]), query, body, APPLY)

    async def delete(self, kind: str, name: str, **options: Any) -> None:
        """Delete an object, with the `DeleteOptions` given; also when there is none."""
        body = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background", **options}
        try:
            await self._json("DELETE", await self._path(kind, name), {}, body)
        except Missing:
            return

    async def review(self, attributes: Mapping[str, str]) -> bool:
        """Return whether this user may do something (`resourceAttributes` of a SelfSubjectAccessReview)."""
        spec = {"resourceAttributes": {"namespace": await self._in_namespace(), **attributes}}
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": spec}
        found = await self._json("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", {}, body)
        return bool(found["status"].get("allowed"))

    async def rules(self) -> Object:
        """Return what this user may do in the namespace (the status of a SelfSubjectRulesReview)."""
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview"}
        spec = {"spec": {"namespace": await self._in_namespace()}}
        found = await self._json("POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", {}, {**body, **spec})
        return dict(found["status"])

    async def at(self, path: str) -> Object:
        """Return what is at a path of the API, such as /version or /api/v1/nodes."""
        return await self._json("GET", path)

    async def version(self) -> str:
        """Return the version of the cluster. Raise ExecutorUnavailable for a server that is none."""
        try:
            return str((await self.at("/version"))["gitVersion"])
        except (Missing, KeyError) as error:
            raise strange(self.url) from error

    @asynccontextmanager
    async def _stream(
        self, path: str, query: Mapping[str, str], seconds: float | None = None, silent_seconds: float | None = None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Open an answer that arrives piece by piece, in some seconds in all, and with less than some without a piece."""
        await self._session.open()
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=seconds, sock_connect=SECONDS, sock_read=silent_seconds)
        answer = await self._session.ask("GET", path, query, timeout=timeout)
        try:
            yield _pieces(answer)
        finally:
            if answer.connection is not None and answer.connection.transport is not None:
                answer.connection.transport.abort()  # without the goodbye of TLS, for which the end of the loop does not wait
            answer.close()

    @asynccontextmanager
    async def log_pieces(
        self, pod: str, container: str, *, follow: bool, **options: str
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Open what a container has printed and, when it is followed, prints until it ends. `options` are of `PodLogOptions`."""
        path = f"{await self._path('pods', pod)}/log"
        query = {"container": container, "follow": "true" if follow else "false", **options}
        async with self._stream(path, query) as pieces:
            yield pieces

    async def log(self, pod: str, container: str, *, follow: bool, **options: str) -> AsyncIterator[bytes]:
        """Give the lines of `log_pieces`, each once it has arrived as a whole; the last one may lack its end of line."""
        async with self.log_pieces(pod, container, follow=follow, **options) as pieces:
            async for line in _lines(pieces):
                yield line

    async def tunnel(self, pod: str, port: int) -> Tunnel:
        """Open a connection to a port of a pod, through the API."""
        path = f"{await self._path('pods', pod)}/portforward?ports={port}"
        return Tunnel(await self._session.socket(path))

    async def answers_at(self, url: str) -> bool:
        """Return whether the API of this cluster, and no other server, answers at another address."""
        return await self._session.answers_at(url)

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    async def _path(self, kind: str, name: str = "") -> str:
        path = f"{PATHS[kind]}/namespaces/{quote(await self._in_namespace())}/{kind}"
        return f"{path}/{quote(name)}" if name else path

    async def _in_namespace(self) -> str:
        await self._session.open()
        return self.namespace

    async def _json(
        self, method: str, path: str, query: Mapping[str, str] | None = None, body: Object | None = None, kind: str = ""
    ) -> Object:
        text = await self._session.text(method, path, query or {}, body, kind)
        return self._object(text) if text else {}

    async def _events(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[tuple[str, Object]]:
        async for line in _lines(pieces):
            event = self._object(line)
            if event["type"] == "ERROR":
                raise failure(int(event["object"].get("code") or 500), json.dumps(event["object"]).encode())
            yield event["type"], event["object"]

    def _object(self, text: bytes) -> Object:
        try:
            found = json.loads(text)
        except ValueError as error:  # such as a proxy's page
            raise strange(self.url) from error
        if not isinstance(found, dict):
            raise strange(self.url)
        return found


class Tunnel:
    """A connection to a port of a pod: a WebSocket with a channel for data and one for errors."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket

    async def send(self, data: bytes) -> None:
        """Send data; raise OSError when the connection has ended."""
        await self._socket.send_bytes(bytes([DATA]) + data)

    async def received(self) -> AsyncIterator[bytes]:
        """Give what arrives, until the other side or the cluster ends the connection."""
        greeted = set()
        async for message in self._socket:
            channel, data = message.data[0], message.data[1:]
            if channel not in greeted:
                greeted.add(channel)  # by the number of the port
            elif channel == DATA:
                yield data
            else:
                return  # the pod does not listen (any more)

    async def close(self) -> None:
        """End the connection."""
        await self._socket.close()


async def _pieces(answer: Any) -> AsyncIterator[bytes]:
    import aiohttp

    try:
        async for piece in answer.content.iter_any():
            yield piece
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise ExecutorUnavailable(f"the cluster does not answer: {error or type(error).__name__}.") from error


async def _lines(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    held: list[bytes] = []  # of a line whose end has not arrived
    async for piece in pieces:
        first, *others = piece.split(b"\n")
        held.append(first)
        for part in others:
            yield b"".join(held) + b"\n"
            held = [part]
    if rest := b"".join(held):
        yield rest

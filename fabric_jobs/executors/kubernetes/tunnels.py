"""The way from this machine to the pods of a daemon, where addresses of Services lead nowhere: through the API of the cluster."""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress

from fabric_jobs.errors import ExecutorUnavailable, InvalidInput
from fabric_jobs.kubernetes.cluster import Cluster, Tunnel
from fabric_jobs.kubernetes.failures import Missing

LOCALHOST = "127.0.0.1"
CHUNK_BYTES = 1 << 16
AGAIN_SECONDS = 0.5  # before a pod is tried again
OPEN_SECONDS = 30.0  # for a caller, until a pod can be reached
FAR_SECONDS = 60.0  # that it counts that no Service is reached; a machine may join the network of its cluster later
FORWARD = {"resource": "pods", "subresource": "portforward"}
VERBS = ("get", "create")  # of an upgrade to a WebSocket: the first one for all versions, the other one from 1.35 on
TRIES, TRY_SECONDS = 5, 1.0  # of a Service, whose address may lead to a new pod a moment after that is ready
API_SERVICE = {
    "resource": "services",
    "namespace": "default",
    "name": "kubernetes",
}  # that of the API, in every cluster


class Nearness:
    """Whether this machine reaches addresses of Services. It is found out for the first daemon, and again until it does."""

    def __init__(self) -> None:
        self._is_near: bool | None = None
        self._looked_at = -math.inf  # by the loop's clock

    async def known(self, cluster: Cluster) -> bool | None:
        """Return it, or None: only a Service with a pod that listens can tell. Raises ExecutorUnavailable."""
        now = asyncio.get_running_loop().time()
        if not self._is_near and now - self._looked_at >= FAR_SECONDS:
            self._is_near = cluster.is_around or await _reaches(cluster)
            self._looked_at = now
        return self._is_near

    async def learn(self, host: str, port: int) -> bool:
        """Find out with a Service, some of whose pods listen."""
        for _ in range(TRIES):
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(TRY_SECONDS):
                    _, writer = await asyncio.open_connection(host, port)
                writer.close()
                self._is_near = True
                return True
            await asyncio.sleep(AGAIN_SECONDS)
        self._is_near, self._looked_at = False, asyncio.get_running_loop().time()
        return False


async def _reaches(cluster: Cluster) -> bool | None:
    """Return whether the API answers at the address of its Service, too; None when this user may not know that address."""
    if not await cluster.review({"verb": "get", **API_SERVICE}):
        return None
    try:
        found = await cluster.at(f"/api/v1/namespaces/{API_SERVICE['namespace']}/services/{API_SERVICE['name']}")
    except Missing:
        return False
    spec = found["spec"]
    return await cluster.answers_at(f"https://{spec.get('clusterIP')}:{spec['ports'][0]['port']}")


async def check(cluster: Cluster) -> None:
    """Raise InvalidInput when this user may not reach pods through the API."""
    if not all([await cluster.review({"verb": verb, **FORWARD}) for verb in VERBS]):
        raise InvalidInput(
            "this machine reaches no Service of the cluster, and lacks a right: get and create pods/portforward.",
            hint="Grant it, or run the gateway in the cluster: `fabric-jobs deploy kubernetes --print`.",
        )


class Tunnels:
    """A port of this machine. Each connection to it is one to the next pod that listens."""

    def __init__(self, cluster: Cluster, port: int) -> None:
        """`port` is that of the pods."""
        self._cluster = cluster
        self._port = port
        self._pods: tuple[str, ...] = ()
        self._next = 0
        self._server: asyncio.Server | None = None

    async def open(self) -> int:
        """Return the port, which is closed until a pod listens."""
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, LOCALHOST, 0, start_serving=False)
        return int(self._server.sockets[0].getsockname()[1])

    async def lead_to(self, pods: tuple[str, ...]) -> None:
        """Note which pods listen."""
        self._pods = pods
        if pods and self._server is not None:
            await self._server.start_serving()

    def close(self) -> None:
        """Take no more connections."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tunnel = None
        try:
            tunnel = await self._tunnel()
            if tunnel is not None:
                await _join(tunnel, reader, writer)
        finally:
            writer.close()
            if tunnel is not None:
                await tunnel.close()

    async def _tunnel(self) -> Tunnel | None:
        """Return a connection to a pod; None when there is none in time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(OPEN_SECONDS):
                while True:
                    if self._pods:
                        self._next += 1
                        with suppress(ExecutorUnavailable, Missing, InvalidInput):
                            return await self._cluster.tunnel(self._pods[self._next % len(self._pods)], self._port)
                    await asyncio.sleep(AGAIN_SECONDS)
        return None


async def _join(tunnel: Tunnel, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry bytes both ways until one side ends the connection."""
    ways = [asyncio.create_task(_there(tunnel, reader)), asyncio.create_task(_back(tunnel, writer))]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)


async def _there(tunnel: Tunnel, reader: asyncio.StreamReader) -> None:
    while data := await reader.read(CHUNK_BYTES):
        await tunnel.send(data)


async def _back(tunnel: Tunnel, writer: asyncio.StreamWriter) -> None:
    async for data in tunnel.received():
        writer.write(data)
        await writer.drain()

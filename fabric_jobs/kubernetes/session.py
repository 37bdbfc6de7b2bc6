"""The connections to the API server of a cluster, and the login, which is renewed when it is about to expire or was replaced."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from fabric_jobs.errors import ExecutorUnavailable
from fabric_jobs.kubernetes import plugin
from fabric_jobs.kubernetes.asked import ASKED
from fabric_jobs.kubernetes.failures import LOGIN, failure, silence
from fabric_jobs.kubernetes.login import Login, library, load

SECONDS = 10.0  # for an answer
NEAR_SECONDS = 2.0  # for one that may never come
OPEN_SECONDS = 4.0  # for a login program, which meanwhile goes on
LOGIN_SECONDS = plugin.SECONDS + 5.0  # the same, for those who would end it when they give up
AGAIN_SECONDS = 5.0  # between two logins, at least
CONNECTIONS = 256  # for requests at a time; streams have their own
BUFFER_BYTES = 1 << 21  # of an answer, until it is read
KEEP_ALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}  # a dead connection ends after a minute
FORWARD = "v4.channel.k8s.io"  # the protocol of tunnels


class Session:
    """Connections, in one asyncio loop. Its methods may raise ExecutorUnavailable, and what `failure` returns."""

    def __init__(self, context: str, patience: float | None = None) -> None:
        """Log in with the first question, by a context of the kubeconfig; empty: the current one, or that of a pod.

        `patience` is how long a question waits for a login program, by default `OPEN_SECONDS`.
        """
        self.url = ""  # of the API server; empty before the first question
        self.namespace = ""  # of the context or the pod; empty before the first question
        self.requests = 0  # asked so far
        self._context = context
        self._patience = patience
        self._connections: Any = None  # once logged in
        self._way: tuple[Any, ...] = ()  # that of the connections
        self._login: Login | None = None
        self._opened_at = 0.0  # by the wall clock, as what a login program says
        self._opening: asyncio.Task[None] | None = None

    async def ask(
        self, method: str, path: str, query: Mapping[str, str], body: Any = None, kind: str = "", timeout: Any = None
    ) -> Any:
        """Return an answer that is a success, not read yet. `timeout`: of aiohttp, for a stream; else `SECONDS` for all of it."""
        login = await self.open()
        import aiohttp

        while True:
            headers = {"Content-Type": kind or "application/json", "Accept": "application/json, */*"}
            headers |= await _credentials(login)
            url = f"{self.url}{path}{f'?{urlencode(query)}' if query else ''}"
            self.requests += 1
            ASKED[method] += 1
            pool = self._connections.streams if timeout else self._connections.requests
            options = {
                "headers": headers,
                "data": None if body is None else json.dumps(body),
                "timeout": timeout or aiohttp.ClientTimeout(total=SECONDS),
                **self._connections.options,
            }
            try:
                answer = await pool.request(method, url, **options)
                if answer.status < 400:
                    return answer
                async with answer:
                    text = await answer.read()
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                if not (isinstance(error, aiohttp.ClientSSLError) and self._forget(login)):
                    raise silence(self.url, error) from error
            else:
                if answer.status != 401 or not self._forget(login):
                    raise failure(answer.status, text)
            login = await self.open()  # a token or a certificate may have been replaced

    async def text(self, method: str, path: str, query: Mapping[str, str], body: Any = None, kind: str = "") -> bytes:
        """Return an answer that is a success."""
        answer = await self.ask(method, path, query, body, kind)
        import aiohttp

        async with answer:
            try:
                return bytes(await answer.read())
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise silence(self.url, error) from error

    async def socket(self, path: str) -> Any:
        """Open a WebSocket of the protocol of tunnels."""
        login = await self.open()
        import aiohttp

        options = {"headers": await _credentials(login), "protocols": (FORWARD,), "max_msg_size": 0}
        try:
            async with asyncio.timeout(SECONDS):
                connections = self._connections
                return await connections.streams.ws_connect(f"{self.url}{path}", **options, **connections.options)
        except aiohttp.WSServerHandshakeError as error:
            raise failure(error.status, b"") from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise silence(self.url, error) from error

    async def answers_at(self, url: str) -> bool:
        """Return whether the API of this cluster, and no other server, answers at another address."""
        await self.open()
        import aiohttp

        options = {"timeout": aiohttp.ClientTimeout(total=NEAR_SECONDS), **self._connections.options}
        try:
            found = await self._connections.requests.get(f"{url}/version", **options)
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False
        found.close()
        return True

    async def open(self) -> Login:
        """Return the login, a new one before it expires. It goes on while those who wait for it give up."""
        if self._login is not None and time.time() < self._login.renew_at:
            return self._login
        opening = self._opening = self._opening or asyncio.create_task(self._log_in())
        done, _ = await asyncio.wait({opening}, timeout=OPEN_SECONDS if self._patience is None else self._patience)
        if not done:
            raise ExecutorUnavailable("the login program of the cluster has not answered yet.", hint=LOGIN)
        if self._opening is opening:
            self._opening = None
        opening.result()
        assert self._login is not None
        return self._login

    async def close(self) -> None:
        """Close the connections."""
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait({self._opening})
        if self._connections is not None:
            await self._connections.close()

    def _forget(self, login: Login) -> bool:
        """Let the next question log in again; return whether that makes sense now."""
        if self._login is login and time.time() - self._opened_at > AGAIN_SECONDS:
            self._login = None
        return self._login is not login

    async def _log_in(self) -> None:
        library()
        login = await load(self._context)
        url = login.configuration.host.rstrip("/")
        way = login.way
        if self._connections is None or way != self._way:
            before = self._connections
            try:
                self._connections, self._way = _Connections(login.configuration), way
            except (OSError, ValueError) as error:  # such as a certificate that is none
                message = f"the login to the cluster at {url} cannot be used: {error}."
                raise ExecutorUnavailable(message, hint=LOGIN) from error
            if before is not None:
                await before.close()
        self.url, self.namespace = url, login.namespace
        self._login, self._opened_at = login, time.time()


class _Connections:
    """The connections of a login: a pool in which requests wait for each other, and one in which no stream waits."""

    def __init__(self, configuration: Any) -> None:
        """Read the certificates. Raises OSError or ValueError for those that cannot be used."""
        from kubernetes.aio.client.rest import RESTClientObject

        made = RESTClientObject(configuration)
        self.options = {  # of every question
            "proxy": made.proxy,
            "proxy_headers": made.proxy_headers,
            "server_hostname": configuration.tls_server_name or None,
        }
        self.requests = _pool(CONNECTIONS, made.ssl_context)
        self.streams = _pool(0, made.ssl_context)

    async def close(self) -> None:
        """End them all."""
        await self.requests.close()
        await self.streams.close()


def _pool(limit: int, tls: Any) -> Any:
    import aiohttp

    connector = aiohttp.TCPConnector(limit=limit, ssl=tls, socket_factory=_socket)
    return aiohttp.ClientSession(connector=connector, trust_env=True, read_bufsize=BUFFER_BYTES)


def _socket(address: Any) -> socket.socket:
    """Return the socket of a new connection, which ends when the other side has vanished without a word."""
    made = socket.socket(*address[:3])
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEP_ALIVE.items():
        if hasattr(socket, name):
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return made


async def _credentials(login: Login) -> dict[str, str]:
    settings = (await login.configuration.auth_settings()).values()
    return {each["key"]: each["value"] for each in settings if each.get("value")}

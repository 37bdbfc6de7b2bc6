"""The connections to the API server of a cluster, and the login, which is renewed when it is about to expire or was replaced."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from fabric_jobs.errors import ExecutorUnavailable
from fabric_jobs.kubernetes.asked import ASKED
from fabric_jobs.kubernetes.failures import LOGIN, failure, silence
from fabric_jobs.kubernetes.login import Login, library, load

SECONDS = 10.0  # for an answer
NEAR_SECONDS = 2.0  # for one that may never come
OPEN_SECONDS = 4.0  # for a login program, which meanwhile goes on
AGAIN_SECONDS = 5.0  # between two logins, at least
CONNECTIONS = 256  # at a time; one per log that is followed
FORWARD = "v4.channel.k8s.io"  # the protocol of tunnels


class Session:
    """Connections, in one asyncio loop. Its methods may raise ExecutorUnavailable, and what `failure` returns."""

    def __init__(self, context: str) -> None:
        """Log in with the first question, by a context of the kubeconfig; empty: the current one, or that of a pod."""
        self.url = ""  # of the API server; empty before the first question
        self.namespace = ""  # of the context or the pod; empty before the first question
        self.requests = 0  # asked so far
        self._context = context
        self._rest: Any = None
        self._way: tuple[Any, ...] = ()  # that of the connections
        self._login: Login | None = None
        self._opened_at = 0.0  # by the wall clock, as what a login program says
        self._opening: asyncio.Task[None] | None = None

    async def ask(
        self, method: str, path: str, query: Mapping[str, str], body: Any = None, kind: str = "", timeout: Any = None
    ) -> Any:
        """Return an answer that is a success, not read yet. `timeout`: of aiohttp, else `SECONDS` for all of it."""
        login = await self.open()
        import aiohttp

        while True:
            headers = {"Content-Type": kind or "application/json", "Accept": "application/json, */*"}
            options = {"headers": headers | await _credentials(login), "body": body}
            url = f"{self.url}{path}{f'?{urlencode(query)}' if query else ''}"
            self.requests += 1
            ASKED[method] += 1
            try:
                wait = timeout or aiohttp.ClientTimeout(total=SECONDS)
                answer = (await self._rest.request(method, url, **options, _request_timeout=wait)).response
                if answer.status < 400:
                    return answer
                async with answer:
                    text = await answer.read()
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise silence(self.url, error) from error
            if answer.status != 401 or not self._forget(login):
                raise failure(answer.status, text)
            login = await self.open()

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
                return await self._rest.pool_manager.ws_connect(f"{self.url}{path}", **options)
        except aiohttp.WSServerHandshakeError as error:
            raise failure(error.status, b"") from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise silence(self.url, error) from error

    async def answers_at(self, url: str) -> bool:
        """Return whether the API of this cluster, and no other server, answers at another address."""
        await self.open()
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=NEAR_SECONDS)
        try:
            found = await self._rest.request("GET", f"{url}/version", headers={}, _request_timeout=timeout)
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False
        found.response.close()
        return True

    async def open(self) -> Login:
        """Return the login, a new one before it expires. It goes on while those who wait for it give up."""
        if self._login is not None and time.time() < self._login.renew_at:
            return self._login
        opening = self._opening = self._opening or asyncio.create_task(self._log_in())
        done, _ = await asyncio.wait({opening}, timeout=OPEN_SECONDS)
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
        if self._rest is not None:
            await self._rest.close()

    def _forget(self, login: Login) -> bool:
        """Let the next question log in again, since a token may have been replaced; return whether that makes sense now."""
        if self._login is login and time.time() - self._opened_at > AGAIN_SECONDS:
            self._login = None
        return self._login is not login

    async def _log_in(self) -> None:
        library()
        from kubernetes.aio.client.rest import RESTClientObject

        login = await load(self._context)
        configuration = login.configuration
        configuration.connection_pool_maxsize = CONNECTIONS
        url = configuration.host.rstrip("/")
        if self._rest is None or login.way != self._way:
            try:
                rest = RESTClientObject(configuration)
            except (OSError, ValueError) as error:  # such as a certificate that is none
                message = f"the login to the cluster at {url} cannot be used: {error}."
                raise ExecutorUnavailable(message, hint=LOGIN) from error
            if self._rest is not None:
                await self._rest.close()
            self._rest, self._way = rest, login.way
        self.url, self.namespace = url, login.namespace
        self._login, self._opened_at = login, time.time()


async def _credentials(login: Login) -> dict[str, str]:
    settings = (await login.configuration.auth_settings()).values()
    return {each["key"]: each["value"] for each in settings if each.get("value")}

"""The server: uvicorn on two sockets, a check for slow connections each second, and the end of an idle owner."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import time
from collections.abc import Callable

import uvicorn
from starlette.types import Receive, Scope, Send

from fabric_jobs.engine.queue_letters import Outbox
from fabric_jobs.errors import FabricJobsError
from fabric_jobs.executors.dispositions import is_ignored
from fabric_jobs.gateway.app import make_app
from fabric_jobs.gateway.callbacks import Deliveries
from fabric_jobs.gateway.parts import Parts
from fabric_jobs.gateway.protocol import ConnectionLimits, GuardedProtocol, guard, guarded, web_socket
from fabric_jobs.store import activations, callbacks, queue_letters, tasks
from fabric_jobs.upkeep import Criteria

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0  # between two looks at all connections
KEEP_ALIVE_SECONDS = 600  # how long a connection is kept between two requests
SOON_SECONDS = 1.0  # not at once: whoever started the owner is waiting for it
RETAIN_SECONDS = 3600.0  # between two checks for old or excess activations
GRACE_SECONDS = 2  # for requests in flight when a signal comes


class GatewayServer:
    """Serves the parts of an owner until a signal comes or, with `until_idle`, nothing is left to do."""

    def __init__(self, parts: Parts, sockets: list[socket.socket]) -> None:
        self._parts = parts
        self._sockets = sockets
        self._last_busy = time.monotonic()
        self._started = asyncio.Event()
        self.on_stop: Callable[[], None] = lambda: None  # called when it begins to end
        self._app = make_app(parts)
        for bound in sockets:
            if bound.family in (socket.AF_INET, socket.AF_INET6):
                guard(bound)
        config = uvicorn.Config(
            self._answer,
            interface="asgi3",
            loop="asyncio",
            http=guarded(ConnectionLimits.of(parts.settings), parts.traffic),
            ws=web_socket,  # type: ignore[arg-type]  # it calls this as it would call a class
            ws_max_size=parts.settings.body_bytes,
            ws_per_message_deflate=False,  # a small message could become a huge one
            lifespan="off",
            log_config=None,
            access_log=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=GRACE_SECONDS,
            server_header=False,
            proxy_headers=False,
            date_header=False,
        )
        self._server = uvicorn.Server(config)

    async def run(self, started: Callable[[], None]) -> None:
        """Serve until the end; `started` is called once connections are accepted."""
        self._server.config.load()
        self._server.lifespan = self._server.config.lifespan_class(self._server.config)
        loop = asyncio.get_running_loop()
        ends = [signal.SIGINT, signal.SIGTERM, *([] if is_ignored(signal.SIGHUP) else [signal.SIGHUP])]
        for number in ends:
            loop.add_signal_handler(number, self.stop)
        await self._server.startup(sockets=self._sockets)
        self._started.set()
        started()
        watches = [asyncio.create_task(self._watch_connections()), asyncio.create_task(self._retain())]
        watches.append(asyncio.create_task(Deliveries(self._parts).run()))
        outbox = Outbox(self._parts.store)
        outbox.start()
        if self._parts.settings.until_idle:
            watches.append(asyncio.create_task(self._watch_idle()))
            watches.append(asyncio.create_task(self._watch_retiring()))
        await self._server.main_loop()
        for watch in watches:
            watch.cancel()
        self._parts.live.close()
        await self._server.shutdown(sockets=self._sockets)
        await asyncio.to_thread(outbox.close)

    async def listen(self, bound: socket.socket) -> None:
        """Answer on one more socket, just as on the first ones; a Unix socket added here is for containers."""
        await self._started.wait()
        if bound.family in (socket.AF_INET, socket.AF_INET6):
            guard(bound)
        config, state = self._server.config, self._server.server_state

        def protocol() -> asyncio.Protocol:
            made = config.http_protocol_class(config=config, server_state=state, app_state={})  # type: ignore[call-arg]
            if isinstance(made, GuardedProtocol):
                made.is_door = bound.family == socket.AF_UNIX
            return made

        self._server.servers.append(await asyncio.get_running_loop().create_server(protocol, sock=bound))

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        traffic = self._parts.traffic
        traffic.requests += 1
        traffic.in_flight += 1
        try:
            await self._app(scope, receive, send)
        finally:
            traffic.in_flight -= 1
            self._last_busy = time.monotonic()

    def stop(self) -> None:
        """End: let long polls return, answer current requests, and accept no new connection."""
        if not self._server.should_exit:
            self.on_stop()
        self._parts.live.close()
        self._parts.upkeep.stop()
        self._server.should_exit = True

    async def _watch_connections(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            for connection in list(self._server.server_state.connections):
                if isinstance(connection, GuardedProtocol):
                    connection.look(loop.time())

    async def _watch_idle(self) -> None:
        idle = self._parts.settings.idle_seconds
        while not self._server.should_exit:
            await asyncio.sleep(max(0.05, self._last_busy + idle - time.monotonic()))
            if self._is_busy():
                self._last_busy = time.monotonic()
            elif time.monotonic() - self._last_busy >= idle:
                self.stop()

    async def _watch_retiring(self) -> None:
        await self._parts.live.retiring.wait()
        self.stop()

    async def _retain(self) -> None:
        """Delete what the retention settings say, soon and then from time to time; at least finish an earlier owner's deletions."""
        settings = self._parts.settings
        wanted = None
        if settings.retain_days is not None or settings.retain_bytes is not None:
            days = settings.retain_days
            wanted = Criteria(
                older_than_seconds=None if days is None else days * 86_400, max_bytes=settings.retain_bytes
            )
        await asyncio.sleep(SOON_SECONDS)
        while True:
            try:
                count = await asyncio.to_thread(self._parts.upkeep.retain, wanted)
                if count:
                    log.info("%d activations were deleted, as --retain-days and --retain-size say.", count)
            except FabricJobsError as error:
                log.warning("old activations are still there: %s", error.message)
            await asyncio.sleep(RETAIN_SECONDS)

    def _is_busy(self) -> bool:
        if self._parts.upkeep.busy:
            return True
        sql = self._parts.store.read
        if self._parts.traffic.in_flight > 0 or callbacks.some_open(sql) or queue_letters.some_open(sql):
            return True
        return bool(activations.unsettled(sql)) or tasks.live_count(sql) > 0

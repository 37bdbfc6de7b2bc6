"""Daemons, as their callers reach them: each is ready when its port is open. What it needs to run is decided elsewhere.

A daemon is a task of kind `daemon` outside any activation, so its state, attempts and logs are kept like those of any other
program, and the engine decides on it (`fabric_jobs.engine.daemon_tasks`).
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from hashlib import blake2b
from itertools import islice
from pathlib import Path

from fabric_jobs.clock import steady
from fabric_jobs.durations import spelled
from fabric_jobs.engine.calls.connection import CallFailed, Pool, Server
from fabric_jobs.engine.printed import NOTHING_PRINTED, Printed, last_printed
from fabric_jobs.engine.wants import Launched, Want, Wants
from fabric_jobs.errors import ExecutorUnavailable
from fabric_jobs.executors.base import Executor, ProcessSpec

LOCAL = "local"  # where programs run from files, not from images
FILES_LIMIT = 10_000  # files of a directory that are checked
ELSEWHERE_SECONDS = 0.25  # between two checks whether a program listens on another port
SETTLED_SECONDS = 1.0  # a single other port counts after this time; earlier, it may not be the one for calls
LOOK_SECONDS = 0.02  # between two checks whether a port is open
REMEMBERED_SECONDS = 10.0  # pause before a daemon that could not start is started again


def fingerprint(process: ProcessSpec, executor: str) -> str:
    """Return a text that changes with a daemon's program.

    It covers the image and the command; or, for a program that runs from files, its Python files, what it is built from, and
    the files that its command names. Other files in its directory are data, which it may write itself.
    """
    found = blake2b(digest_size=8)
    directory = process.directory
    if executor != LOCAL or directory is None:
        found.update("\0".join((process.image, *process.command)).encode())
        return found.hexdigest()
    named = {Path(word).name for word in process.command} | {"requirements.txt", "Dockerfile"}
    for path in islice(_files(directory), FILES_LIMIT):
        if (path.suffix == ".py" or path.name in named) and path.is_file():
            stat = path.stat()
            found.update(
                f"{path.relative_to(directory)}\0{stat.st_size}\0{stat.st_mtime_ns}\0".encode(errors="surrogateescape")
            )
    return found.hexdigest()


def _files(directory: Path) -> Iterator[Path]:
    """Yield the files below a directory, without hidden directories, in a stable order."""
    for top, inner, files in os.walk(directory):
        inner[:] = sorted(name for name in inner if not name.startswith("."))  # .fabric-jobs/ changes with each run
        yield from (Path(top, name) for name in sorted(files))


class DaemonFailed(Exception):
    """A daemon is not available. Holds the cause and the last lines that it printed."""

    def __init__(self, cause: str, printed: Printed = NOTHING_PRINTED) -> None:
        super().__init__(cause)
        self.cause = cause
        self.printed = printed


class Elsewhere:
    """Finds a program that ignores its given port: on the declared port, or on the only one that stays open."""

    def __init__(self, told: Server, declared: int) -> None:
        self._told = told
        self._declared = declared
        self._seen = told
        self._since = time.monotonic()
        self._looked = self._since

    def is_due(self, now: float) -> bool:
        """Return whether it is time to look again."""
        return now - self._looked >= ELSEWHERE_SECONDS

    def look(self, found: Server, now: float) -> Server:
        """Return the address to try, given the one just `found`."""
        self._looked = now
        if found != self._seen:
            self._seen, self._since = found, now
        is_sure = found.port == self._declared or now - self._since >= SETTLED_SECONDS
        return found if is_sure else self._told


class Daemon:
    """One program that listens, as its callers reach it. All of it runs in the loop of the calls."""

    def __init__(self, want: Want, wants: Wants, executor: Executor, start_seconds: float) -> None:
        self.want = want
        self.executor = executor
        self.slots = asyncio.Semaphore(want.action.concurrency)
        self._wants = wants
        self._start_seconds = start_seconds
        self._reaching = asyncio.Lock()
        self._pool: Pool | None = None
        self._reached: Launched | None = None  # the attempt that the pool leads to
        self._coming: asyncio.Task[Pool] | None = None
        self._changed = asyncio.Event()
        loop = asyncio.get_running_loop()
        want.listener = lambda: _call_soon(loop, self._note_change)

    @property
    def handle(self) -> str:
        """The handle of the newest attempt; empty when there is none."""
        running = self.want.running or self._reached
        return running.handle if running is not None else ""

    def begin_call(self) -> None:
        """Note that a call is under way: the program stays."""
        self.want.calls += 1

    def end_call(self) -> None:
        """Note that a call is over."""
        self.want.last_used = steady()
        self.want.calls -= 1
        if self.want.outdated and not self.want.is_used:
            self._wants.wake(self.want.key.subject)

    async def pool(self, port: int) -> Pool:
        """Return the connections to the program; start it when it is not running. `port` is the declared one.

        Raises DaemonFailed when it does not start.
        """
        if self._pool is not None:
            return self._pool
        if self._coming is None or self._coming.done():
            self._coming = asyncio.create_task(self._reach_once(port))
            self._coming.add_done_callback(_look_at)
        # When the waiting caller is cancelled, the program goes on starting, for the next one.
        return await asyncio.shield(self._coming)

    async def lost(self, pool: Pool) -> None:
        """Check the program after a call without an answer: when it has ended, the next call waits for the next one.

        A closed port shows the end before its place does. Raises DaemonFailed when the port stays closed.
        """
        async with self._reaching:
            if self._pool is not pool or self._reached is None:
                return
            try:
                found = await self._ready(pool.server, 0, self._reached)
            except DaemonFailed:
                self._forget()
                raise
            if found is None:
                self._forget()
            elif found != pool.server:
                pool.close()
                self._pool = Pool(found)

    def close(self) -> None:
        """Close the connections, and wait for the program no longer."""
        if self._coming is not None:
            self._coming.cancel()
        self._forget()

    async def _reach_once(self, port: int) -> Pool:
        async with self._reaching:
            if self._pool is None:
                self._pool = await self._reach(port)
            return self._pool

    async def _reach(self, port: int) -> Pool:
        """Ask for the program, and wait until it listens."""
        want, begun = self.want, steady()
        if want.failure is not None and begun - want.failure.at < REMEMBERED_SECONDS:
            raise DaemonFailed(want.failure.cause, want.failure.printed)
        want.port, want.failure, want.last_used = port, None, begun
        want.waiters += 1
        try:
            self._wants.wake(want.key.subject)
            while True:
                running = await self._running()
                told = await self._address(running)
                found = None if told is None else await self._ready(told, port, running)
                if found is not None and want.running is running:
                    want.ready, self._reached = True, running
                    return Pool(found)
        finally:
            want.waiters -= 1
            want.last_used = steady()

    async def _running(self) -> Launched:
        """Wait until an attempt runs; raise DaemonFailed when none can."""
        want, deadline = self.want, steady() + self._start_seconds
        while want.running is None or want.silent:
            if want.failure is not None:
                raise DaemonFailed(want.failure.cause, want.failure.printed)
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), max(0.0, deadline - steady()))
            except TimeoutError:
                why = f": {want.trouble}" if want.trouble else ""
                raise DaemonFailed(f"the daemon was not started within {spelled(self._start_seconds)}{why}") from None
        return want.running

    async def _address(self, running: Launched) -> Server | None:
        """Return the program's address; None when it has ended before that was known."""
        deadline = steady() + self._start_seconds
        while self.want.running is running:
            try:
                host, port = await asyncio.to_thread(self.executor.address, running.handle)
            except ExecutorUnavailable as error:
                if steady() > deadline:
                    raise DaemonFailed(f"{error.message.rstrip('.')}{await self._doing(running)}") from error
                await asyncio.sleep(LOOK_SECONDS)
            else:
                return Server(host=host, port=port)
        return None

    async def _ready(self, server: Server, declared: int, running: Launched) -> Server | None:
        """Wait until the program listens; return its address, or None when it has ended before."""
        deadline = steady() + self._start_seconds
        elsewhere = Elsewhere(server, declared)
        is_local = self.want.key.executor == LOCAL
        while self.want.running is running:
            try:
                (await server.connect(1.0)).close()
            except CallFailed:
                if is_local and elsewhere.is_due(now := time.monotonic()):
                    host, port = await asyncio.to_thread(self.executor.address, running.handle)
                    server = elsewhere.look(Server(host=host, port=port), now)
                if steady() > deadline:
                    raise await self._silent(server, running) from None
                await asyncio.sleep(LOOK_SECONDS)
            else:
                return server
        return None

    async def _silent(self, server: Server, running: Launched) -> DaemonFailed:
        """Let a program end that does not listen; return what to tell its callers."""
        is_local = self.want.key.executor == LOCAL
        what = f"port {server.port} (PORT)" if is_local else f"port {self.want.port} (PORT) of all addresses (0.0.0.0)"
        doing = await self._doing(running)
        cause = f"the daemon did not listen on {what} within {spelled(self._start_seconds)}{doing}"
        printed = await asyncio.to_thread(last_printed, self.executor, running.handle)
        self.want.silent = cause
        self._wants.wake(self.want.key.subject)
        return DaemonFailed(cause, printed)

    async def _doing(self, running: Launched) -> str:
        """Return what an attempt waits for, as the end of a cause; empty when that is not known."""
        with suppress(ExecutorUnavailable):
            doing = (await asyncio.to_thread(self.executor.note, running.handle)).doing
            return f": {doing}" if doing else ""
        return ""

    def _note_change(self) -> None:
        self._changed.set()
        if self._pool is not None and self.want.running is not self._reached and not self._reaching.locked():
            self._forget()

    def _forget(self) -> None:
        if self._pool is not None:
            self._pool.close()
        self._pool = None


def _call_soon(loop: asyncio.AbstractEventLoop, step: Callable[[], None]) -> None:
    with suppress(RuntimeError):  # the loop is closed: nobody calls any more
        loop.call_soon_threadsafe(step)


def _look_at(coming: asyncio.Task[Pool]) -> None:
    """Retrieve the exception of a failed start, in case nobody waits for it any more."""
    if not coming.cancelled():
        coming.exception()

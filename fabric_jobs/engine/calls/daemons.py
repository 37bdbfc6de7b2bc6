"""Daemons: programs that listen. Each runs once, is ready when its port is open, restarts when it dies, stops when idle.

A daemon is a task of kind `daemon` outside any activation, so its state, attempts and logs are kept like those of
any other program. This module only knows how to reach it.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import islice
from pathlib import Path

from fabric_jobs.definitions import Action
from fabric_jobs.durations import spelled
from fabric_jobs.engine.calls.connection import CallFailed, Pool, Server
from fabric_jobs.engine.calls.ending import end
from fabric_jobs.engine.outcome import describe_exit
from fabric_jobs.engine.printed import NOTHING_PRINTED, Printed, last_printed
from fabric_jobs.errors import ExecutorUnavailable, InvalidInput
from fabric_jobs.executors.base import LOST, STOPPED, AttemptExit, AttemptSpec, Executor, ProcessSpec
from fabric_jobs.names import task_name
from fabric_jobs.records import Task
from fabric_jobs.settings import Settings
from fabric_jobs.states import TaskState
from fabric_jobs.store import Store, Tx, tasks
from fabric_jobs.store.tasks import Again, Ending, NewTask

LOCAL = "local"  # where programs run from files, not from images
FILES_LIMIT = 10_000  # files of a directory that are checked
ELSEWHERE_SECONDS = 0.25  # between two checks whether a program listens on another port
SETTLED_SECONDS = 1.0  # a single other port counts after this time; earlier, it may not be the one for calls
LOOK_SECONDS = 0.02  # between two checks whether a port is open
DEATHS = 3  # starts in a row that end before the port is open
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


@dataclass(frozen=True, kw_only=True)
class DaemonKey:
    """Identifies a program: one version of one action of a skill, in one kind of place."""

    executor: str
    project_id: str
    skill_name: str
    version: int
    action: str
    files: str = ""  # the program's fingerprint: a changed program is another daemon

    @property
    def node(self) -> str:
        """The column `node` of its task."""
        return f"{self.version}:{self.files}:{self.executor}"

    @property
    def program(self) -> tuple[str, str, str, str]:
        """What at most one daemon at a time may run."""
        return self.project_id, self.skill_name, self.action, self.executor


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
    """One program that listens. All of it runs in the loop of the calls."""

    def __init__(self, key: DaemonKey, action: Action, process: ProcessSpec, means: Means) -> None:
        self.key = key
        self.action = action
        self.slots = asyncio.Semaphore(action.concurrency)
        self.last_used = time.monotonic()
        self.calls = 0  # under way
        self.process = process
        self._means = means
        self.executor = means.executors[key.executor]
        self._starting = asyncio.Lock()
        self._pool: Pool | None = None
        self._task: Task | None = None
        self.handle = ""  # of the newest attempt
        self._failed: tuple[float, DaemonFailed] | None = None
        self._coming: asyncio.Task[Pool] | None = None

    async def pool(self, port: int) -> Pool:
        """Return the connections to the program; start it when it is not running. `port` is the declared one.

        Raises DaemonFailed when it does not start.
        """
        if self._pool is not None:
            return self._pool
        if self._coming is None or self._coming.done():
            self._coming = asyncio.create_task(self._start_once(port))
            self._coming.add_done_callback(_look_at)
        # When the waiting caller is cancelled, the program goes on starting, for the next one.
        return await asyncio.shield(self._coming)

    async def _start_once(self, port: int) -> Pool:
        async with self._starting:
            if self._pool is None:
                self._pool = await self._come_up(port)
            return self._pool

    async def lost(self, pool: Pool) -> None:
        """Check the program after a call without an answer: when it has ended, the next call restarts it.

        A closed port shows the end before the executor does. Raises DaemonFailed when the port stays closed.
        """
        async with self._starting:
            if self._pool is not pool:
                return
            try:
                found = await self._ready(pool.server, 0)
            except DaemonFailed:
                self._forget(pool)
                raise
            if isinstance(found, AttemptExit):
                self._forget(pool)
                await self._ended(found)
            elif found != pool.server:
                self._forget(pool)
                self._pool = Pool(found)

    def _forget(self, pool: Pool) -> None:
        pool.close()
        self._pool = None

    def adopt(self, task: Task, handle: str) -> None:
        """Take over a program that an earlier owner started."""
        self._task, self.handle = task, handle
        host, port = self.executor.address(handle)
        self._pool = Pool(Server(host=host, port=port))

    async def stop(self, cause: str) -> None:
        """Stop the program, even while it is starting."""
        if self._coming is not None:
            self._coming.cancel()
            await asyncio.gather(self._coming, return_exceptions=True)
        async with self._starting:
            if self._pool is not None:
                self._pool.close()
                self._pool = None
            if self._task is None:
                return
            grace = self._means.settings.grace_seconds
            ended = await asyncio.to_thread(end, self.executor, self.handle, grace)
            await self._end(TaskState.COMPLETE, ended or AttemptExit(None), cause)

    async def _come_up(self, port: int) -> Pool:
        if self._failed is not None and time.monotonic() - self._failed[0] < REMEMBERED_SECONDS:
            raise self._failed[1]
        for start in range(1, DEATHS + 1):
            await self._begin(port)
            told = await self._address()
            found = await self._ready(told, port) if isinstance(told, Server) else told
            if isinstance(found, Server):
                self._failed = None
                return Pool(found)
            ended = found
            printed = last_printed(self.executor, self.handle)
            given = told.port if isinstance(told, Server) else port
            failure = DaemonFailed(
                f"the daemon ended before it listened on port {given} (PORT): {describe_exit(ended)}", printed
            )
            if start < DEATHS:
                await self._ended(ended)
        self._failed = (time.monotonic(), failure)
        await self._end(TaskState.FAILED, ended, failure.cause)
        raise failure

    async def _address(self) -> Server | AttemptExit:
        """Return the program's address, or how it ended before that was known."""
        deadline = time.monotonic() + self._means.settings.daemon_start_seconds
        while True:
            try:
                host, port = await asyncio.to_thread(self.executor.address, self.handle)
            except ExecutorUnavailable:
                ended = await asyncio.to_thread(self._look)
                if ended is not None:
                    return ended
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(LOOK_SECONDS)
            else:
                return Server(host=host, port=port)

    async def _begin(self, port: int) -> None:
        """Start an attempt; a cancellation waits until it is known what was started."""
        beginning = asyncio.ensure_future(asyncio.to_thread(self._start, port))
        try:
            await asyncio.shield(beginning)
        except asyncio.CancelledError:
            await asyncio.gather(beginning, return_exceptions=True)
            raise

    async def _ready(self, server: Server, declared: int) -> Server | AttemptExit:
        """Wait until the program listens; return its address, or how it ended before that."""
        deadline = time.monotonic() + self._means.settings.daemon_start_seconds
        elsewhere = Elsewhere(server, declared)
        while True:
            try:
                (await server.connect(1.0)).close()
            except CallFailed:
                ended = await asyncio.to_thread(self._look)
                if ended is not None:
                    return ended
                if self.key.executor == LOCAL and elsewhere.is_due(now := time.monotonic()):
                    host, port = await asyncio.to_thread(self.executor.address, self.handle)
                    server = elsewhere.look(Server(host=host, port=port), now)
                if time.monotonic() > deadline:
                    await asyncio.to_thread(end, self.executor, self.handle, 0.0)
                    cause = _silent(server, self._means.settings.daemon_start_seconds, self.key.executor)
                    printed = last_printed(self.executor, self.handle)
                    await self._end(TaskState.FAILED, AttemptExit(None), cause)
                    raise DaemonFailed(cause, printed) from None
                await asyncio.sleep(LOOK_SECONDS)
            else:
                return server

    def _look(self) -> AttemptExit | None:
        """Return how the program ended, or None while it runs; called in a thread."""
        ended = self.executor.poll(self.handle)
        if ended is not None and ended.reason != STOPPED:
            self.executor.stop(self.handle, 0.0)  # no process of it may live on beside the next one
        return ended

    def _start(self, port: int) -> None:
        """Make the task if there is none, and hand an attempt to the executor; called in a thread."""
        store, executor = self._means.store, self.executor
        task = self._task
        if task is None:
            task_id = store.write(lambda tx: tasks.create(tx, _new_task(self.key))).result()
            task = tasks.find(store.read, task_id)
            assert task is not None
        queued = task
        started = store.write(lambda tx: _begun_again(tx, queued, executor.name)).result()
        if started is None:
            raise DaemonFailed("the daemon was cancelled")
        self._task = started
        try:
            self.handle = executor.start(spec_of(self, started, port))
        except (InvalidInput, ExecutorUnavailable) as error:
            cause, ending = str(error), Ending(exit_code=None, reason=error.message)
            store.write(lambda tx: tasks.end(tx, started, TaskState.FAILED, ending, cause=cause)).result()
            self._task = None
            raise DaemonFailed(str(error)) from error
        store.write(lambda tx: tasks.activate(tx, started, self.handle)).result()

    async def _ended(self, ended: AttemptExit) -> None:
        """Note that the program ended by itself: its task waits for the next start."""
        task = self._task
        if task is None:
            return
        cause = describe_exit(ended)
        ending = Ending(exit_code=ended.code, reason=ended.reason)
        write = self._means.store.write(lambda tx: tasks.requeue(tx, task, ending, Again(), cause=cause))
        await asyncio.wrap_future(write)

    async def _end(self, state: TaskState, ended: AttemptExit, cause: str) -> None:
        task, self._task = self._task, None
        if task is None:
            return
        ending = Ending(exit_code=ended.code, reason=ended.reason)
        await asyncio.wrap_future(self._means.store.write(lambda tx: tasks.end(tx, task, state, ending, cause=cause)))


def _begun_again(tx: Tx, task: Task, executor: str) -> Task | None:
    """Start the next attempt; when its place did not answer, nobody has noted the end of the one before."""
    tasks.requeue(tx, task, Ending(exit_code=None, reason=LOST), Again(), cause="its place did not answer")
    return tasks.start(tx, task, executor)


def spec_of(daemon: Daemon, task: Task, port: int) -> AttemptSpec:
    """Return what an executor needs to start a daemon; `port` is the declared one."""
    inside = daemon.executor.inside(task.attempt_name)
    environment = {
        **daemon.action.environment,
        "CORTEX_PROJECT": daemon.key.project_id,
        "FABRIC_JOBS_SOCKET": inside.socket,
    }
    process = replace(daemon.process, environment=environment, port=port, gateway=inside.gateway)
    return AttemptSpec(name=task.attempt_name, processes=(process,))


def _new_task(key: DaemonKey) -> NewTask:
    return NewTask(
        project_id=key.project_id,
        name=task_name(key.project_id, key.skill_name, key.action),
        activation_id=None,
        node=key.node,
        skill_name=key.skill_name,
        action_name=key.action,
        kind="daemon",
        receives="message",
    )


def _silent(server: Server, seconds: float, executor: str) -> str:
    where = "" if executor == LOCAL else f" of {server.host}, where 127.0.0.1 is not enough,"
    return f"the daemon did not listen on port {server.port} (PORT){where} within {spelled(seconds)}"


def _look_at(coming: asyncio.Task[Pool]) -> None:
    """Retrieve the exception of a failed start, in case nobody waits for it any more."""
    if not coming.cancelled():
        coming.exception()


@dataclass(frozen=True, kw_only=True)
class Means:
    """What the daemons of an owner are started with."""

    store: Store
    executors: Mapping[str, Executor]
    settings: Settings

"""HTTP calls for records: daemons and external APIs. One thread with an event loop, started when it is first needed."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import replace
from typing import Any

from fabric_jobs.engine import tokens
from fabric_jobs.engine.calls.caller import Call, Caller, Work
from fabric_jobs.engine.calls.connection import CallFailed, Pool
from fabric_jobs.engine.calls.daemons import Daemon, DaemonFailed, DaemonKey, Place
from fabric_jobs.engine.calls.target import DaemonTarget, ExternalTarget, Unusable
from fabric_jobs.engine.create import new_task
from fabric_jobs.engine.launch import Endpoint, claims, message, source_of
from fabric_jobs.errors import ExecutorUnavailable, FabricJobsError
from fabric_jobs.executors.base import Executor
from fabric_jobs.records import Activation, Task
from fabric_jobs.routing import Node, Plan
from fabric_jobs.settings import Settings
from fabric_jobs.states import TaskState
from fabric_jobs.store import Store, Tx, activations, tasks
from fabric_jobs.store.tasks import Ending

log = logging.getLogger(__name__)

__all__ = ["Calls"]


class Calls:
    """Who calls for which node, and the daemons that run."""

    def __init__(self, store: Store, executor: Executor, settings: Settings, endpoint: Endpoint) -> None:
        self._place = Place(store=store, executor=executor, settings=settings, endpoint=endpoint)
        self._callers: dict[int, tuple[Caller, asyncio.Task[None]]] = {}  # by task
        self._daemons: dict[DaemonKey, Daemon] = {}
        self._pools: dict[Any, Pool] = {}  # external servers
        self._left: dict[tuple[str, str, str], tuple[Task, str]] = {}  # daemons that another owner had started
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def adopt(self) -> None:
        """Note the daemons that another owner had started; those that are gone have ended."""
        for task in tasks.daemons(self._place.store.read):
            attempt = tasks.attempt(self._place.store.read, task.task_id, task.attempt) if task.attempt else None
            handle = attempt.handle if attempt is not None else None
            if handle is not None and self._runs(handle):
                self._left[task.project_id, task.skill_name, f"{task.node}/{task.action_name}"] = (task, handle)
                self._run(self._watch_idle())
            else:
                self._note_gone(task)

    def see_to(self, activation: Activation, plan: Plan, node: Node, task: Task | None) -> None:
        """See to it that somebody calls for the records of a node."""
        if task is None:
            task = self._place.store.write(lambda tx: _make_task(tx, activation, node)).result()
            if task is None:
                return
        self._run(self._see_to(Work(activation=activation, plan=plan, node=node, task=task)))

    def stop(self, task: Task) -> None:
        """Call no more for a task."""
        if self._loop is not None:
            self._run(self._stop(task.task_id))

    def close(self) -> None:
        """End the calls and the daemons."""
        if self._loop is None or self._thread is None:
            return
        with suppress(RuntimeError):
            asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _runs(self, handle: str) -> bool:
        try:
            return self._place.executor.poll(handle) is None
        except ExecutorUnavailable:
            return False

    def _note_gone(self, task: Task) -> None:
        ending, cause = Ending(exit_code=None, reason="lost"), "it had ended before this owner began"
        self._place.store.write(lambda tx: tasks.end(tx, task, TaskState.FAILED, ending, cause=cause)).result()

    def _run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._loop.run_forever, name="calls", daemon=True)
            self._thread.start()
        asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    async def _see_to(self, work: Work) -> None:
        found = self._callers.get(work.task.task_id)
        if found is not None and not found[1].done():
            found[0].wake()
            return
        caller = Caller(self._place.store, work, self._call_of(work), self._place.settings.record_bytes)
        self._callers[work.task.task_id] = (caller, asyncio.create_task(self._look_after(work, caller)))

    async def _look_after(self, work: Work, caller: Caller) -> None:
        try:
            await caller.run()
        except* FabricJobsError as group:  # the disk: the engine looks again, and calls go on from what is acknowledged
            log.warning("calls of %s stop for now: %s", work.node.key, group.exceptions[0])
        finally:
            if self._callers.get(work.task.task_id, (None,))[0] is caller:
                del self._callers[work.task.task_id]

    async def _stop(self, task_id: int) -> None:
        found = self._callers.pop(task_id, None)
        if found is not None:
            found[1].cancel()

    def _call_of(self, work: Work) -> Call:
        return self._call_daemon(work) if work.node.action.type == "daemon" else self._call_external(work)

    def _call_daemon(self, work: Work) -> Call:
        activation, node = work.activation, work.node
        token = tokens.sign(claims(activation, work.task), self._place.endpoint.key)
        envelope = message(activation, work.task, node, self._place.endpoint.api_endpoint, token)
        target = DaemonTarget(node=node, envelope=envelope, headers=activation.headers)
        seconds = self._place.settings.call_seconds

        async def call(record: bytes) -> tuple[str, bytes]:
            daemon = self._daemon(work)
            daemon.calls += 1
            try:
                async with daemon.slots:
                    return target.response(await self._ask(daemon, target, record, seconds))
            finally:
                daemon.calls -= 1
                daemon.last_used = time.monotonic()

        return call

    async def _ask(self, daemon: Daemon, target: DaemonTarget, record: bytes, seconds: float) -> Any:
        """Return the answer of a daemon; one that dies under a call is started again, a few times."""
        lost = 0
        while True:
            try:
                pool = await daemon.pool(target.port)
            except DaemonFailed as error:
                raise Unusable(error.cause, error.lines) from error
            try:
                server = pool.server
                return await pool.ask(target.request(record, f"{server.host}:{server.port}"), seconds)
            except CallFailed as error:
                await daemon.lost(pool)
                lost += 1
                if lost > self._place.settings.lost_limit:
                    raise Unusable(f"the daemon gave no answer {lost} times: {error}") from error

    def _daemon(self, work: Work) -> Daemon:
        activation, node = work.activation, work.node
        version = activation.pins["skills"][node.skill_name]
        key = DaemonKey(
            project_id=activation.project_id, skill_name=node.skill_name, version=version, action=node.action.name
        )
        daemon = self._daemons.get(key)
        if daemon is None:
            try:
                source = source_of(self._place.store.read, activation, node.skill_name)
            except FabricJobsError as error:
                raise Unusable(str(error), again=False) from error
            daemon = self._daemons[key] = Daemon(key, node.action, source, self._place)
            left = self._left.pop((key.project_id, key.skill_name, f"{version}/{key.action}"), None)
            if left is not None:
                daemon.adopt(*left)
            elif len(self._daemons) == 1:
                asyncio.get_running_loop().create_task(self._watch_idle())
        return daemon

    def _call_external(self, work: Work) -> Call:
        seconds = self._place.settings.call_seconds
        slots = asyncio.Semaphore(work.node.action.concurrency)

        async def call(record: bytes) -> tuple[str, bytes]:
            try:
                target = ExternalTarget.of(work.node, work.activation.headers)
            except FabricJobsError as error:
                raise Unusable(str(error), again=False) from error
            pool = self._pools.setdefault(target.server, Pool(target.server))
            try:
                async with slots:
                    answer = await pool.ask(target.request(record, target.host), seconds)
            except CallFailed as error:
                raise Unusable(str(error)) from error
            return target.response(answer)

        return call

    async def _watch_idle(self) -> None:
        idle = self._place.settings.daemon_idle_seconds
        begun = time.monotonic()
        while self._daemons or self._left:
            await asyncio.sleep(min(idle, 60.0))
            now = time.monotonic()
            if self._left and now - begun >= idle:
                for task, handle in self._left.values():
                    await self._stop_left(task, handle)
                self._left.clear()
            for key, daemon in list(self._daemons.items()):
                if not daemon.calls and now - daemon.last_used >= idle:
                    del self._daemons[key]
                    await daemon.stop("nobody called it any more")

    async def _stop_left(self, task: Task, handle: str) -> None:
        await asyncio.to_thread(self._place.executor.stop, handle, self._place.settings.grace_seconds)
        ending = Ending(exit_code=None, reason="")
        cause = "nobody called it any more"
        write = self._place.store.write(lambda tx: tasks.end(tx, task, TaskState.COMPLETE, ending, cause=cause))
        await asyncio.wrap_future(write)

    async def _close(self) -> None:
        for _, running in list(self._callers.values()):
            running.cancel()
        await asyncio.gather(*(running for _, running in self._callers.values()), return_exceptions=True)
        stops = [daemon.stop("its owner ended") for daemon in self._daemons.values()]
        stops += [self._stop_left(task, handle) for task, handle in self._left.values()]
        await asyncio.gather(*stops, return_exceptions=True)
        for pool in self._pools.values():
            pool.close()


def _make_task(tx: Tx, activation: Activation, node: Node) -> Task | None:
    """Make the task under which the calls of a node are counted; ACTIVE from the start. None when the activation has ended."""
    if not activations.is_pending(tx, activation.activation_id):
        return None
    before = [task for task in tasks.live(tx, activation.activation_id) if task.node == node.key]
    if before:
        return before[0]
    created = tasks.find(tx, tasks.create(tx, replace(new_task(activation, node), kind="calls")))
    started = tasks.start(tx, created, "calls") if created is not None else None
    if started is None:
        return None
    tasks.activate(tx, started, "")
    return tasks.find(tx, started.task_id)

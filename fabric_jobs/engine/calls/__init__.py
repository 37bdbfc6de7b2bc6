"""HTTP calls for records: daemons and external APIs. One thread with an event loop, started when it is first needed."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import cache
from typing import Any

from fabric_jobs.documents import skill_from_json
from fabric_jobs.engine.attempts import RETRY_SECONDS
from fabric_jobs.engine.calls.caller import Call, Caller, Work
from fabric_jobs.engine.calls.connection import Answer, CallFailed, Pool
from fabric_jobs.engine.calls.daemons import Daemon, DaemonFailed, DaemonKey, Place, fingerprint
from fabric_jobs.engine.calls.registry import Daemons
from fabric_jobs.engine.calls.target import DAEMON_PORT, DaemonTarget, ExternalTarget, Unusable
from fabric_jobs.engine.create import new_task
from fabric_jobs.engine.launch import Issuing, message, process_of
from fabric_jobs.errors import FabricJobsError
from fabric_jobs.executors.base import Executor, ProcessSpec
from fabric_jobs.records import Activation, SavedDefinition, Task
from fabric_jobs.routing import Node, Plan
from fabric_jobs.settings import Settings
from fabric_jobs.store import Store, Tx, activations, tasks

log = logging.getLogger(__name__)

__all__ = ["Calls"]


class Calls:
    """Who calls for which node, and the daemons that run."""

    def __init__(self, store: Store, executors: Mapping[str, Executor], settings: Settings, issuing: Issuing) -> None:
        self._place = Place(store=store, executors=executors, settings=settings)
        self._issuing = issuing
        self._callers: dict[int, tuple[Caller, asyncio.Task[None]]] = {}  # by task
        self._daemons = Daemons(self._place)
        self._pools: dict[Any, Pool] = {}  # external servers
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def adopt(self) -> None:
        """Take over the daemons that another owner had started."""
        if self._daemons.adopt():
            self._run(self._watch())

    def see_to(self, activation: Activation, plan: Plan, node: Node, task: Task | None) -> None:
        """See to it that somebody calls for the records of a node."""
        if task is None:
            task = self._place.store.write(lambda tx: _make_task(tx, activation, node)).result()
            if task is None:
                return
        self._run(self._see_to(Work(activation=activation, plan=plan, node=node, task=task)))

    def deploy(self, saved: SavedDefinition, executor: str) -> int:
        """Begin to start the daemons of a skill that do not run yet; return how many it has."""
        skill = skill_from_json(saved.body)
        found = [action for action in skill.actions if action.type == "daemon"]
        for action in found:
            port = int(str(skill.defaults().get("daemon.port") or action.port or DAEMON_PORT))
            self._run(self._daemons.bring_up(saved, action, executor, port))
        return len(found)

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
        self._callers[work.task.task_id] = (self._caller(work), asyncio.create_task(self._look_after(work)))

    def _caller(self, work: Work) -> Caller:
        return Caller(self._place.store, work, self._call_of(work), self._place.settings.record_bytes)

    async def _look_after(self, work: Work) -> None:
        """Call until somebody cancels; when the disk or the place does not answer, go on from what is acknowledged."""
        task_id, me = work.task.task_id, asyncio.current_task()
        assert me is not None
        try:
            while True:
                try:
                    await self._callers[task_id][0].run()
                except* FabricJobsError as group:
                    log.warning("calls of %s stop for %g s: %s", work.node.key, RETRY_SECONDS, group.exceptions[0])
                await asyncio.sleep(RETRY_SECONDS)
                self._callers[task_id] = (self._caller(work), me)
        finally:
            if self._callers.get(task_id, (None, None))[1] is me:
                del self._callers[task_id]

    async def _stop(self, task_id: int) -> None:
        found = self._callers.pop(task_id, None)
        if found is not None:
            found[1].cancel()

    def _call_of(self, work: Work) -> Call:
        return self._call_daemon(work) if work.node.action.type == "daemon" else self._call_external(work)

    def _call_daemon(self, work: Work) -> Call:
        node = work.node
        target_ = cache(lambda: self._target_of(work))  # looked at once, when it is first needed
        request_to = cache(lambda host: target_().request(host))
        program = cache(lambda: self._program_of(work))  # looked at once, and again when its daemon is gone

        async def call(record: bytes) -> tuple[str, bytes]:
            target = target_()
            daemon, body = self._daemons.find(program()[0]), target.body(record)
            if daemon is None:
                # An older activation goes on with the daemon of a newer one: two that each bring back their own would alternate.
                program.cache_clear()
                key, process = program()
                daemon = self._daemons.find(key) or self._daemons.make(key, node.action, process)
            daemon.calls += 1
            try:
                async with daemon.slots:
                    return target.response(
                        await self._ask(daemon, target.port, lambda host: request_to(host).encode(body))
                    )
            finally:
                daemon.calls -= 1
                daemon.last_used = time.monotonic()

        return call

    async def _ask(self, daemon: Daemon, port: int, encoded: Callable[[str], bytes]) -> Answer:
        """Return the answer of a daemon to what is `encoded` for its host; one that dies is started again, a few times."""
        seconds = self._place.settings.call_seconds
        for _ in range(1 + self._place.settings.lost_limit):
            try:
                pool = await daemon.pool(port)
                try:
                    return await pool.ask(encoded(f"{pool.server.host}:{pool.server.port}"), seconds)
                except CallFailed as error:
                    failure = error
                    await daemon.lost(pool)
            except DaemonFailed as error:
                raise Unusable(error.cause, error.lines) from error
        times = 1 + self._place.settings.lost_limit
        raise Unusable(f"the daemon gave no answer {times} times: {failure}") from failure

    def _target_of(self, work: Work) -> DaemonTarget:
        activation, node = work.activation, work.node
        inside = self._place.executors[activation.executor].inside(work.task.attempt_name)
        issued = self._issuing.to(activation, work.task, inside)
        envelope = message(activation, work.task, node, inside.api_endpoint, issued.token)
        return DaemonTarget(node=node, envelope=envelope, headers=activation.headers)

    def _program_of(self, work: Work) -> tuple[DaemonKey, ProcessSpec]:
        """Return which daemon the records of a node are for, and its program as its files are now."""
        activation, node = work.activation, work.node
        process = process_of(self._place.store.read, activation, node.skill_name, node.action)
        key = DaemonKey(
            executor=activation.executor,
            project_id=activation.project_id,
            skill_name=node.skill_name,
            version=activation.pins["skills"][node.skill_name],
            action=node.action.name,
            files=fingerprint(process, activation.executor),
        )
        return key, process

    def _call_external(self, work: Work) -> Call:
        seconds = self._place.settings.call_seconds
        slots = asyncio.Semaphore(work.node.action.concurrency)

        @cache
        def target_() -> ExternalTarget:
            return ExternalTarget.of(work.node, work.activation.headers)

        async def call(record: bytes) -> tuple[str, bytes]:
            try:
                target = target_()
            except FabricJobsError as error:
                raise Unusable(str(error), again=False) from error
            pool = self._pools.setdefault(target.server, Pool(target.server))
            try:
                async with slots:
                    answer = await pool.ask(target.request.encode(target.body(record)), seconds)
            except CallFailed as error:
                raise Unusable(str(error)) from error
            return target.response(answer)

        return call

    async def _watch(self) -> None:
        self._daemons.watch()

    async def _close(self) -> None:
        under_way = [running for _, running in self._callers.values()]
        for running in under_way:
            running.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        await self._daemons.close()
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

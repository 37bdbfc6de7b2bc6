"""HTTP calls for records, to daemons and external APIs, in one thread with an event loop that starts when first needed."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

from fabric_jobs.documents import skill_from_json
from fabric_jobs.engine.calls.asking import Asking
from fabric_jobs.engine.calls.caller import Caller, CallWork
from fabric_jobs.engine.calls.registry import Daemons, Means
from fabric_jobs.engine.calls.target import port_of
from fabric_jobs.engine.create import new_task
from fabric_jobs.engine.faults import Faults
from fabric_jobs.engine.lanes import RETRY_SECONDS
from fabric_jobs.engine.launch import Issuing
from fabric_jobs.errors import FabricJobsError
from fabric_jobs.records import Activation, SavedDefinition, Task
from fabric_jobs.routing import Node, Plan
from fabric_jobs.store import Tx, activations, channels, leases, tasks

log = logging.getLogger(__name__)

__all__ = ["Calls", "Means"]


class Calls:
    """The callers, one per node."""

    def __init__(self, means: Means, issuing: Issuing) -> None:
        self._means = means
        self._callers: dict[int, tuple[Caller, asyncio.Task[None]]] = {}  # by task
        self._by_activation: dict[str, set[int]] = {}  # the task ids among these
        self._daemons = Daemons(self._means)
        self._asking = Asking(self._means, issuing, self._daemons)
        self._faults = Faults(means.settings.lost_limit)
        self._starting = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def see_to(self, activation: Activation, plan: Plan, node: Node, task: Task | None) -> None:
        """Make sure that a caller handles the records of a node."""
        if task is None:
            task = self._means.store.write(lambda tx: _make_task(tx, activation, node)).result()
            if task is None:
                return
        self._run(self._see_to(CallWork(activation=activation, plan=plan, node=node, task=task)))

    def deploy(self, saved: SavedDefinition, executor: str) -> int:
        """Begin to start the daemons of a skill that are not running; return how many it has."""
        skill = skill_from_json(saved.body)
        found = [action for action in skill.actions if action.type == "daemon"]
        for action in found:
            self._run(self._daemons.bring_up(saved, action, executor, port_of(skill.defaults(), action)))
        return len(found)

    def stop(self, task: Task) -> None:
        """End the calls of a task."""
        if self._loop is not None:
            self._run(self._stop(task.task_id))

    def forget(self, activation_id: str) -> None:
        """End the calls of a completed activation. Safe to call from any thread."""
        if self._loop is not None and activation_id in self._by_activation:
            self._run(self._forget(activation_id))

    def close(self) -> None:
        """End the calls."""
        with self._starting:
            loop, self._loop = self._loop, None
        if loop is None or self._thread is None:
            return
        asyncio.run_coroutine_threadsafe(self._close(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        self._thread.join()
        loop.close()

    def _run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        with self._starting:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="calls", daemon=True)
                self._thread.start()
        asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    async def _see_to(self, work: CallWork) -> None:
        found = self._callers.get(work.task.task_id)
        if found is not None and not found[1].done():
            found[0].wake()
            return
        activation_id, task_id = work.activation.activation_id, work.task.task_id
        self._by_activation.setdefault(activation_id, set()).add(
            task_id
        )  # before the check: whoever completes the activation looks here afterwards
        if activations.is_pending(self._means.store.read, activation_id):
            self._callers[task_id] = (self._caller(work), asyncio.create_task(self._look_after(work)))
        else:
            self._let_go(activation_id, task_id)

    def _caller(self, work: CallWork) -> Caller:
        return Caller(self._means.store, work, self._asking.call_of(work), self._means.settings.record_bytes)

    async def _look_after(self, work: CallWork) -> None:
        """Call until cancelled; when the disk or the executor fails, continue after the last acknowledged record."""
        task_id, me = work.task.task_id, asyncio.current_task()
        assert me is not None
        try:
            while True:
                cause = ""
                try:
                    await self._callers[task_id][0].run()
                except* FabricJobsError as group:
                    log.warning("calls of %s stop for %g s: %s", work.node.key, RETRY_SECONDS, group.exceptions[0])
                except* Exception as group:
                    cause = self._faults.note(task_id, group.exceptions[0], f"the calls of {work.node.key}")
                if cause:
                    await self._callers[task_id][0].give_up(cause)
                    return
                await asyncio.sleep(RETRY_SECONDS)
                self._callers[task_id] = (self._caller(work), me)
        finally:
            if self._callers.get(task_id, (None, None))[1] is me:
                del self._callers[task_id]
                self._let_go(work.activation.activation_id, task_id)

    async def _stop(self, task_id: int) -> None:
        self._faults.forget(task_id)
        found = self._callers.pop(task_id, None)
        if found is not None:
            found[1].cancel()
            self._let_go(found[0].activation_id, task_id)

    def _let_go(self, activation_id: str, task_id: int) -> None:
        found = self._by_activation.get(activation_id, set())
        found.discard(task_id)
        if not found:
            self._by_activation.pop(activation_id, None)

    async def _forget(self, activation_id: str) -> None:
        for task_id in list(self._by_activation.get(activation_id, ())):
            await self._stop(task_id)

    async def _close(self) -> None:
        under_way = [running for _, running in self._callers.values()]
        for running in under_way:
            running.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        self._daemons.close()
        self._asking.close()


def _make_task(tx: Tx, activation: Activation, node: Node) -> Task | None:
    """Make the task of a node's calls, ACTIVE from the start; None when the activation has ended."""
    if not activations.is_pending(tx, activation.activation_id):
        return None
    before = [task for task in tasks.live(tx, activation.activation_id) if task.node == node.key]
    if before:
        return before[0]
    created = tasks.find(tx, tasks.create(tx, replace(new_task(activation, node), kind="calls")))
    started = tasks.start(tx, created, "calls") if created is not None else None
    if started is None:
        return None
    for channel in channels.inbound(tx, activation.activation_id, node.key):
        leases.take_all(tx, started.task_id, channel.channel_id)
    tasks.activate(tx, started, "")
    return tasks.find(tx, started.task_id)

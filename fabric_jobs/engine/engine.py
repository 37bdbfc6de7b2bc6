"""The loop: look at an activation, decide, carry it out. A wake-up only says *look again* (DESIGN section 7)."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from fabric_jobs.engine.attempts import RETRY_SECONDS, Attempts
from fabric_jobs.engine.create import advance
from fabric_jobs.engine.decide import FinishTask, decide
from fabric_jobs.engine.dispatcher import Dispatcher
from fabric_jobs.engine.invoke import Invocation, invoke
from fabric_jobs.engine.launch import Issuing
from fabric_jobs.engine.plans import Plans
from fabric_jobs.engine.retry import retries_of, retry
from fabric_jobs.engine.snapshot import Snapshot, take
from fabric_jobs.errors import PlaceUnavailable
from fabric_jobs.executors.base import Executor
from fabric_jobs.records import DeadLetter, SavedDefinition, Task
from fabric_jobs.routing import Plan
from fabric_jobs.settings import Settings, cpu_count
from fabric_jobs.states import TaskState
from fabric_jobs.store import Effects, Store, Tx, activations, tasks

if TYPE_CHECKING:
    from fabric_jobs.engine.calls import Calls

log = logging.getLogger(__name__)


def _make_calls(store: Store, executors: Mapping[str, Executor], settings: Settings, issuing: Issuing) -> Calls:
    from fabric_jobs.engine.calls import (
        Calls,  # late: most workspaces have nothing to call, and wait for an owner to start
    )

    return Calls(store, executors, settings, issuing)


class Engine:
    """One thread that looks after all activations of an owner."""

    def __init__(self, store: Store, executors: Mapping[str, Executor], settings: Settings, issuing: Issuing) -> None:
        self.plans = Plans()
        self._store = store
        self._settings = settings
        self._inbox: SimpleQueue[str | None] = SimpleQueue()
        self._attempts = Attempts(executors, self._inbox.put)
        self._calls: Calls | None = None
        self._making_calls = threading.Lock()
        self._make_calls: Callable[[], Calls] = partial(_make_calls, store, executors, settings, issuing)
        self._dispatcher = Dispatcher(store, self._attempts, settings, issuing, self._the_calls)
        self._timers: dict[str, float] = {}
        self._starved: set[str] = set()  # activations with records or tasks that wait for a worker slot
        self._looked_at: set[str] = set()  # activations that have not ended
        self._fed: dict[int, str] = {}  # channels that feed message tasks -> activation
        self._feeds: dict[str, set[int]] = {}  # the same by activation
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        store.listen(self._committed)

    def start(self) -> None:
        """Begin with what the store says is under way."""
        for activation_id in activations.unsettled(self._store.read):
            self._inbox.put(activation_id)
        if tasks.daemons(self._store.read):
            self._the_calls().adopt()
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the loop runs."""
        return self._thread.is_alive()

    def close(self) -> None:
        """End the loop; attempts run on, and the next engine finds them."""
        self._inbox.put(None)
        self._thread.join()
        if self._calls is not None:
            self._calls.close()
        self._attempts.close()

    def invoke(self, wanted: Invocation) -> Future[str]:
        """Start an activation; see `fabric_jobs.engine.invoke.invoke`."""
        return invoke(self._store, self.plans, wanted, self._begin)

    def retry(self, letters: Sequence[DeadLetter], request_id: str) -> dict[str, list[int]]:
        """Try dead letters again; return the new activations with the letters that each tries. See `engine.retry`."""
        wanted = retries_of(self._store.read, self.plans, letters, request_id)
        return {
            retry(self._store, self.plans, one, self._begin): [letter.dead_letter_id for letter in one.letters]
            for one in wanted
        }

    def cancel(self, activation_id: str, project_id: str, cause: str) -> Future[bool]:
        """Ask for the end of an activation; the future holds False when it had ended."""
        return self._store.write(lambda tx: activations.ask_cancel(tx, activation_id, project_id, cause))

    def deploy(self, saved: SavedDefinition) -> int:
        """Begin to start the daemons of a skill; return how many it has. What was saved without its files runs from its images."""
        named = self._settings.executor
        return self._the_calls().deploy(saved, named if saved.source or named != "local" else "docker")

    def troubles(self, activation_id: str) -> dict[str, str]:
        """Return why tasks of an activation do not get on, by node: places that do not answer."""
        return self._attempts.troubles(activation_id)

    def look(self, activation_id: str) -> None:
        """Something may have changed for an activation."""
        self._inbox.put(activation_id)

    def _the_calls(self) -> Calls:
        with self._making_calls:
            if self._calls is None:
                self._calls = self._make_calls()
            return self._calls

    def _begin(self, tx: Tx, activation_id: str, plan: Plan) -> None:
        advance(tx, activation_id, plan, self._settings)  # in the transaction that starts it: one commit less

    def _committed(self, effects: Effects) -> None:
        for channel_id in effects.news:
            fed = self._fed.get(channel_id)
            if fed is not None:
                effects.look.add(fed)
        for activation_id in effects.look - effects.completed:
            self._inbox.put(activation_id)
        for activation_id in effects.completed:
            self._looked_at.discard(activation_id)
            for channel_id in self._feeds.pop(activation_id, ()):
                self._fed.pop(channel_id, None)

    def _run(self) -> None:
        while True:
            pending = self._gather()
            if pending is None:
                return
            for activation_id in pending:
                try:
                    self._look(activation_id)
                except PlaceUnavailable as error:
                    log.warning("activation %s is looked at again: %s", activation_id, error.message)
                    self._wake_at(activation_id, time.time() + RETRY_SECONDS)
                except Exception:  # one activation must not take the others down; the log tells
                    log.exception("activation %s is looked at again", activation_id)
                    self._wake_at(activation_id, time.time() + RETRY_SECONDS)

    def _gather(self) -> list[str] | None:
        """Wait for a wake-up or a timer; return the activations to look at, None to end."""
        found: dict[str, None] = {}
        try:
            item = self._inbox.get(timeout=self._until_timer())
            while True:
                if item is None:
                    return None
                found[item] = None
                item = self._inbox.get_nowait()
        except Empty:
            now = time.time()
            for activation_id in [key for key, at in self._timers.items() if at <= now]:
                del self._timers[activation_id]
                found[activation_id] = None
            return list(found)

    def _until_timer(self) -> float | None:
        if not self._timers:
            return None
        return max(0.0, min(self._timers.values()) - time.time())

    def _wake_at(self, activation_id: str, at: float) -> None:
        self._timers[activation_id] = min(at, self._timers.get(activation_id, at))

    def _look(self, activation_id: str) -> None:
        snapshot = self._snapshot(activation_id)
        if snapshot is None:
            return
        for decision in decide(snapshot):
            again_at = self._dispatcher.carry_out(snapshot, decision)
            if again_at is not None:
                self._wake_at(activation_id, again_at)
            if isinstance(decision, FinishTask):
                self._wake_starved(activation_id)

    def _snapshot(self, activation_id: str) -> Snapshot | None:
        sql = self._store.read
        plan = self.plans.known(activation_id)
        if plan is None:
            activation = activations.find(sql, activation_id)
            if activation is None:
                return None
            plan = self.plans.of(sql, activation)
        # First the exits, then the rows: what an attempt stored before it ended is in the rows.
        exits, unavailable = self._attempts.exits(sql, self._jobs(activation_id))
        if unavailable:
            self._wake_at(activation_id, time.time() + RETRY_SECONDS)
        taken = take(sql, activation_id, plan)
        if taken is None:
            return None
        if taken.activation.ended and not taken.live:
            self._looked_at.discard(activation_id)
        self._note_channels(taken)
        return replace(
            taken,
            exits=exits,
            accepted=self._attempts.accepted(taken.live),
            now=time.time(),
            free_slots=self._settings.task_slots - tasks.busy_slots(sql),
            cpus=cpu_count(),
        )

    def _jobs(self, activation_id: str) -> list[Task]:
        """Return the jobs whose attempts may have ended; those that another engine has started are found at the first look."""
        if activation_id in self._looked_at:
            return self._attempts.changed(activation_id)
        self._looked_at.add(activation_id)
        return [task for task in tasks.live(self._store.read, activation_id) if task.kind == "job"]

    def _note_channels(self, snapshot: Snapshot) -> None:
        waiting = any(task.state is TaskState.QUEUED for task in snapshot.live)
        for channel in snapshot.channels:
            node = snapshot.plan.nodes.get(channel.node)
            if node is None or node.is_stream:
                continue
            if snapshot.activation.ended:
                self._fed.pop(channel.channel_id, None)
                self._feeds.pop(channel.activation_id, None)
            else:
                self._fed[channel.channel_id] = channel.activation_id
                self._feeds.setdefault(channel.activation_id, set()).add(channel.channel_id)
                waiting = waiting or (not node.is_called and channel.dispatched < channel.next_offset)
        if waiting and not snapshot.activation.ended:
            self._starved.add(snapshot.activation.activation_id)

    def _wake_starved(self, but: str) -> None:
        """A worker slot may be free: look at the others that wait for one."""
        starved, self._starved = self._starved - {but}, self._starved & {but}
        for activation_id in starved:
            self._inbox.put(activation_id)

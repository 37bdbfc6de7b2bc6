"""The loop: look at an activation, decide, carry it out. A wake-up only says *look again* (docs/explanation/architecture.md)."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from fabric_jobs.clock import steady
from fabric_jobs.engine.attempts import RETRY_SECONDS, Attempts
from fabric_jobs.engine.create import advance
from fabric_jobs.engine.decide import AwaitSlot, decide
from fabric_jobs.engine.dispatcher import Dispatcher
from fabric_jobs.engine.faults import Faults
from fabric_jobs.engine.feeds import Feeds
from fabric_jobs.engine.invoke import Invocation, invoke
from fabric_jobs.engine.launch import Issuing
from fabric_jobs.engine.plans import Plans
from fabric_jobs.engine.retry import retries_of, retry
from fabric_jobs.engine.settle import abandon
from fabric_jobs.engine.snapshot import Snapshot, take
from fabric_jobs.engine.wakes import Wakes
from fabric_jobs.errors import FabricJobsError, PlaceUnavailable
from fabric_jobs.executors.base import Executor
from fabric_jobs.records import DeadLetter, SavedDefinition, Task
from fabric_jobs.routing import Plan
from fabric_jobs.settings import Settings, cpu_count
from fabric_jobs.shell import Shell
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
        self._wakes = Wakes()
        self._shells = issuing.shells
        self._faults = Faults(settings.lost_limit)
        self._attempts = Attempts(executors, self._wakes.put, self._faults)
        self._calls: Calls | None = None
        self._making_calls = threading.Lock()
        self._make_calls: Callable[[], Calls] = partial(_make_calls, store, executors, settings, issuing)
        self._dispatcher = Dispatcher(store, self._attempts, settings, issuing, self._the_calls)
        self._looked_at: set[str] = set()  # activations that have not ended
        self._feeds = Feeds()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        store.listen(self._committed)

    def start(self) -> None:
        """Begin with what the store says is under way."""
        for activation_id in activations.unsettled(self._store.read):
            self._wakes.put(activation_id)
        if tasks.daemons(self._store.read):
            self._the_calls().adopt()
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the loop runs."""
        return self._thread.is_alive()

    def close(self) -> None:
        """End the loop; attempts run on, and the next engine finds them."""
        self._wakes.end()
        self._thread.join()
        if self._calls is not None:
            self._calls.close()
        self._attempts.close()
        with suppress(FabricJobsError):  # a full disk: what is not stored is done again
            self._store.write(
                lambda tx: None
            ).result()  # the writer keeps the order: what the loop left with it is stored

    def invoke(self, wanted: Invocation) -> Future[str]:
        """Start an activation; see `fabric_jobs.engine.invoke.invoke`."""
        return invoke(self._store, self.plans, wanted, partial(self._begin, wanted.shell))

    def retry(self, letters: Sequence[DeadLetter], request_id: str, shell: Shell | None) -> dict[str, list[int]]:
        """Try dead letters again; return the new activations with the letters that each tries. See `engine.retry`."""
        wanted = retries_of(self._store.read, self.plans, letters, request_id)
        return {
            retry(self._store, self.plans, one, partial(self._begin, shell)): [
                letter.dead_letter_id for letter in one.letters
            ]
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
        self._wakes.put(activation_id)

    def _the_calls(self) -> Calls:
        with self._making_calls:
            if self._calls is None:
                self._calls = self._make_calls()
            return self._calls

    def _begin(self, shell: Shell | None, tx: Tx, activation_id: str, plan: Plan) -> None:
        self._shells.keep(activation_id, shell)
        advance(tx, activation_id, plan, self._settings)  # in the transaction that starts it: one commit less

    def _committed(self, effects: Effects) -> None:
        """Runs in the writer's thread."""
        for activation_id in effects.over:
            self._shells.forget(activation_id)  # whatever came of it: nothing more is started in it
        for activation_id in (effects.look | self._feeds.fed(effects.news)) - effects.completed:
            self._wakes.put(activation_id)
        for activation_id in effects.completed:
            self._feeds.forget(activation_id)
            self._looked_at.discard(activation_id)
            if self._calls is not None:
                self._calls.forget(activation_id)

    def _run(self) -> None:
        while (pending := self._wakes.wait()) is not None:
            for activation_id in pending:
                self._look(activation_id)
            if self._dispatcher.slots.freed:
                self._serve_waiting()

    def _serve_waiting(self) -> None:
        """Look at activations that wait for a worker slot, in their order, as long as there is one."""
        for activation_id in self._dispatcher.slots.take():
            if tasks.busy_slots(self._store.read) >= self._settings.task_slots:
                return
            self._dispatcher.slots.served(activation_id)
            self._look(activation_id)

    def _look(self, activation_id: str) -> None:
        """Look at an activation; one must not take the others down, nor be looked at in vain for ever."""
        try:
            self._act(activation_id)
        except PlaceUnavailable as error:
            log.warning("activation %s is looked at again: %s", activation_id, error.message)
        except Exception as error:
            cause = self._faults.note(activation_id, error, f"activation {activation_id}")
            if cause:
                self._give_up(activation_id, cause)
                return
        else:
            self._faults.forget(activation_id)
            return
        self._wakes.at(activation_id, steady() + RETRY_SECONDS)

    def _act(self, activation_id: str) -> None:
        snapshot = self._snapshot(activation_id)
        if snapshot is None:
            return
        decisions = decide(snapshot)
        self._dispatcher.slots.note(activation_id, waits=AwaitSlot() in decisions)
        for decision in decisions:
            again_at = self._dispatcher.carry_out(snapshot, decision)
            if again_at is not None:
                self._wakes.at(activation_id, again_at)

    def _give_up(self, activation_id: str, cause: str) -> None:
        """End an activation that cannot be looked at, and what runs in it, by as little as can be read of it."""
        try:
            for task in tasks.live(self._store.read, activation_id):
                if task.kind == "job":
                    self._attempts.stop(self._store.read, task, 0)
            self._store.write(lambda tx: abandon(tx, activation_id, cause)).result()
        except FabricJobsError as error:
            log.warning("activation %s cannot be ended yet: %s", activation_id, error.message)
            self._wakes.at(activation_id, steady() + RETRY_SECONDS)

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
            self._wakes.at(activation_id, steady() + RETRY_SECONDS)
        taken = take(sql, activation_id, plan)
        if taken is None:
            return None
        if taken.activation.ended and not taken.live:
            self._looked_at.discard(activation_id)
        self._feeds.note(taken)
        return replace(
            taken,
            exits=exits,
            accepted=self._attempts.accepted(taken.live),
            now=steady(),
            free_slots=self._settings.task_slots - tasks.busy_slots(sql),
            cpus=cpu_count(),
        )

    def _jobs(self, activation_id: str) -> list[Task]:
        """Return the jobs whose attempts may have ended; those that another engine has started are found at the first look."""
        if activation_id in self._looked_at:
            return self._attempts.changed(activation_id)
        self._looked_at.add(activation_id)
        return [task for task in tasks.live(self._store.read, activation_id) if task.kind == "job"]

"""The loop: look at an activation, decide, carry out. A wake-up only says *look again* (docs/explanation/architecture.md)."""

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
from fabric_jobs.engine.admission import Admission
from fabric_jobs.engine.create import advance
from fabric_jobs.engine.decide import AwaitSlot, decide
from fabric_jobs.engine.dispatcher import Dispatcher
from fabric_jobs.engine.enumerating import Enumerators
from fabric_jobs.engine.faults import Faults
from fabric_jobs.engine.feeds import Feeds
from fabric_jobs.engine.invoke import Beginning, Invocation, Invoked, invoke, prepared
from fabric_jobs.engine.lanes import RETRY_SECONDS
from fabric_jobs.engine.launch import Issuing
from fabric_jobs.engine.lazy_calls import LazyCalls
from fabric_jobs.engine.places import Places
from fabric_jobs.engine.plans import Plans
from fabric_jobs.engine.retry import retries_of, retry
from fabric_jobs.engine.settle import abandon
from fabric_jobs.engine.slots import free_slots
from fabric_jobs.engine.snapshot import Snapshot, take
from fabric_jobs.engine.waits import Waits
from fabric_jobs.engine.wakes import Wakes
from fabric_jobs.engine.works import Works, given_up
from fabric_jobs.errors import FabricJobsError, PlaceUnavailable
from fabric_jobs.executors.base import AttemptExit, Executor
from fabric_jobs.records import DAEMON, DeadLetter, SavedDefinition
from fabric_jobs.routing import Plan
from fabric_jobs.settings import Settings, cpu_count
from fabric_jobs.shell import Shell
from fabric_jobs.store import Effects, Store, Tx, activations, tasks

if TYPE_CHECKING:
    from fabric_jobs.jobs import Job
    from fabric_jobs.submissions import Submission

TURN = ""  # wakes the engine when a waiting activation may have its turn

log = logging.getLogger(__name__)


class Engine:
    """One thread that looks after all activations of an owner."""

    def __init__(self, store: Store, executors: Mapping[str, Executor], settings: Settings, issuing: Issuing) -> None:
        self.plans = Plans()
        self._store = store
        self._settings = settings
        self._wakes = Wakes()
        self._shells = issuing.shells
        self.secrets = issuing.secrets
        self._faults = Faults(settings.lost_limit)
        self._places = Places(executors, self._wakes, self._faults)
        self._calls = LazyCalls(store, self._places, settings, issuing, self._wakes)
        self._enumerators = Enumerators(store, settings)
        works = Works(store, settings, issuing)
        self._dispatcher = Dispatcher(store, self._places, settings, works, self._calls.calls)
        self._feeds = Feeds()
        self._waits = Waits()
        self._admission = Admission(store, settings.activations)
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        store.listen(self._committed)

    def start(self) -> None:
        """Start the loop with everything that the store says is under way."""
        for activation_id in activations.unsettled(self._store.read):
            self._wakes.put(activation_id)
        self._wakes.put(TURN)  # an earlier engine may have left waiting ones
        self._calls.adopt()
        self._enumerators.start()
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Return whether the loop runs."""
        return self._thread.is_alive()

    def close(self) -> None:
        """End the loop. Attempts keep running, and the next engine finds them."""
        self._calls.close()
        self._wakes.end()
        self._thread.join()
        self._enumerators.close()
        self._dispatcher.trims.close()
        self._places.close()
        with suppress(FabricJobsError):  # a full disk: what is not stored is repeated
            self._store.write(lambda tx: None).result()  # after the loop's own writes

    def invoke(self, wanted: Invocation) -> Future[Invoked]:
        """Start an activation; see `fabric_jobs.engine.invoke.invoke`."""
        return invoke(self._store, self.plans, wanted, self._beginning(wanted.shell, wanted.invoker))

    def prepared(self, wanted: Invocation) -> Callable[[Tx], str]:
        """Return what starts an activation in a transaction and returns its id; see `fabric_jobs.engine.invoke.prepared`."""
        ready = prepared(self._store, self.plans, wanted, self._beginning(wanted.shell, wanted.invoker))
        return lambda tx: ready(tx).activation_id

    def submit(self, wanted: Submission, shell: Shell | None = None, invoker: str = "") -> Future[Job]:
        """Start a job; see `fabric_jobs.engine.submit.submit`."""
        from fabric_jobs.engine.submit import submit  # late: most owners have no APIs

        submitted = submit(self._store, self.plans, wanted, self._beginning(shell, invoker))
        return self._enumerators.follow(submitted) if wanted.source else submitted

    def retry(self, letters: Sequence[DeadLetter], request_id: str, shell: Shell | None) -> dict[str, list[int]]:
        """Retry dead letters; return the new activations, each with the letters that it retries. See `engine.retry`."""
        wanted = retries_of(self._store.read, self.plans, letters, request_id)
        return {
            retry(self._store, self.plans, one, self._beginning(shell, "")): [
                letter.dead_letter_id for letter in one.letters
            ]
            for one in wanted
        }

    def cancel(self, activation_id: str, project_id: str, cause: str) -> Future[bool]:
        """Ask to cancel an activation; the future holds False when it has ended."""
        return self._store.write(lambda tx: activations.ask_cancel(tx, activation_id, project_id, cause))

    def deploy(self, saved: SavedDefinition) -> int:
        """Begin to start the daemons of a skill; return how many it has. A skill saved without files runs from its images."""
        named = self._settings.executor
        return self._calls.calls().deploy(saved, named if saved.source or named != "local" else "docker")

    def troubles(self, activation_id: str) -> dict[str, str]:
        """Return why nodes of an activation are stuck: the place of a task, or the store of a job's items, does not answer."""
        return self._places.troubles(activation_id) | self._enumerators.troubles(activation_id)

    def _beginning(self, shell: Shell | None, invoker: str) -> Beginning:
        allows = partial(self._admission.allows, invoker=invoker)
        return Beginning(allows=allows, begin=partial(self._begin, shell), check=self.secrets.check_plan)

    def _begin(self, shell: Shell | None, tx: Tx, activation_id: str, plan: Plan) -> None:
        self._shells.keep(activation_id, shell)
        advance(tx, activation_id, plan, self._settings)  # in the same transaction: one commit less

    def _committed(self, effects: Effects) -> None:
        """Note what a commit changed. Runs in the writer's thread."""
        for activation_id in effects.over:
            self._shells.forget(activation_id)  # however it ended: nothing more starts in it
        for activation_id in (effects.look | self._feeds.fed(effects.news)) - effects.completed:
            self._wakes.put(activation_id)
        if effects.over and self._admission.is_wanted:
            self._wakes.put(TURN)
        for activation_id in effects.completed:
            self._feeds.forget(activation_id)
            self._calls.forget(activation_id)

    def _run(self) -> None:
        while (pending := self._wakes.wait()) is not None:
            for activation_id in pending:
                if activation_id == TURN:
                    self._let_in()
                elif activation_id.startswith(DAEMON):
                    self._calls.daemons().look(activation_id)
                else:
                    self._look(activation_id)
            if self._dispatcher.slots.freed:
                for activation_id in self._dispatcher.slots.served(self._store.read, self._settings):
                    self._look(activation_id)

    def _let_in(self) -> None:
        try:
            self._admission.let_in()
        except FabricJobsError as error:
            log.warning("activations that wait cannot be let in yet: %s", error.message)
            self._wakes.at(TURN, steady() + RETRY_SECONDS)

    def _look(self, activation_id: str) -> None:
        """Look at an activation. An error must not stop the others, nor be retried for ever."""
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
        place = snapshot.activation.executor
        self._dispatcher.slots.note(activation_id, place, waits=AwaitSlot() in decisions)
        moments = [self._dispatcher.carry_out(snapshot, decision) for decision in decisions]
        for again_at in (*moments, self._places.again_at(snapshot.live)):
            if again_at is not None:
                self._wakes.at(activation_id, again_at)

    def _give_up(self, activation_id: str, cause: str) -> None:
        """End an unreadable activation and its attempts, reading as little of it as possible."""
        try:
            for task in tasks.live(self._store.read, activation_id):
                attempt = tasks.attempt(self._store.read, task.task_id, task.attempt)
                if task.kind == "job" and attempt is not None and attempt.handle:
                    work = given_up(task)
                    self._places.stop(work, attempt.executor, attempt.handle, 0)
                self._places.forget(task)
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
        # Exits before rows: so the rows include all that an attempt stored before it ended.
        exits = self._places.exits(activation_id)
        taken = take(sql, activation_id, plan)
        if taken is None:
            return None
        self._feeds.note(taken)
        if taken.activation.ended:
            self._dispatcher.trims.forget(activation_id)
        now = steady()
        slots = free_slots(sql, self._settings, taken.activation.executor)
        seen = replace(taken, now=now, waiting=self._waits.note(taken, now), free_slots=slots, cpus=cpu_count())
        return _with_places(seen, self._places, exits)


def _with_places(taken: Snapshot, places: Places, exits: Mapping[tuple[int, int], AttemptExit]) -> Snapshot:
    """Return a snapshot with what the places report."""
    return replace(
        taken,
        exits={task.task_id: exits[key] for task in taken.live if (key := (task.task_id, task.attempt)) in exits},
        accepted=places.in_hand(taken.live, taken.now),
        running_late=places.running(taken.live),
    )

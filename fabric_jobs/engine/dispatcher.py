"""Carries decisions out: makes tasks, hands attempts to the executor, ends them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from fabric_jobs.clock import steady
from fabric_jobs.engine import finish as ends
from fabric_jobs.engine.attempts import RETRY_SECONDS, Attempts
from fabric_jobs.engine.create import Advanced, advance, create_tasks
from fabric_jobs.engine.decide import (
    AwaitSlot,
    CallRecords,
    CancelActivation,
    CreateTasks,
    Decision,
    EndCalls,
    FinishTask,
    LaunchAttempt,
    LookAgain,
    StartTask,
    StopAttempt,
)
from fabric_jobs.engine.finish import Finish
from fabric_jobs.engine.launch import Issuing, attempt_spec, process_of
from fabric_jobs.engine.misplaced import hint as misplaced
from fabric_jobs.engine.outcome import Ended, Outcome, deadline_of, outcome, refused
from fabric_jobs.engine.slots import Slots
from fabric_jobs.engine.snapshot import Snapshot
from fabric_jobs.errors import ExecutorUnavailable, FabricJobsError, InvalidInput, ReplayDiffers
from fabric_jobs.executors.base import FAULT, STOPPED, AttemptExit
from fabric_jobs.records import Task
from fabric_jobs.settings import Settings
from fabric_jobs.states import ActivationState, TaskState
from fabric_jobs.store import Store, Tx, activations, tasks
from fabric_jobs.store.tasks import Ending

if TYPE_CHECKING:
    from fabric_jobs.engine.calls import Calls

log = logging.getLogger(__name__)


class Dispatcher:
    """What the engine's thread does with a decision. All of it bears being done twice."""

    def __init__(
        self,
        store: Store,
        attempts: Attempts,
        settings: Settings,
        issuing: Issuing,
        calls: Callable[[], Calls],
    ) -> None:
        self._store = store
        self._attempts = attempts
        self._settings = settings
        self._issuing = issuing
        self._calls = calls
        self.slots = Slots()

    def carry_out(self, snapshot: Snapshot, decision: Decision) -> float | None:
        """Do it; return when to look again at the activation, by the steady clock; None when something else will say so."""
        match decision:
            case CreateTasks():
                created = self._store.write(lambda tx: create_tasks(tx, snapshot, decision)).result()
                return self._launch_all(snapshot, created)
            case StartTask(task=task):
                place = snapshot.activation.executor
                begun = self._store.write(lambda tx: tasks.start(tx, task, place)).result()
                return self._launch_all(snapshot, [begun] if begun is not None else [])
            case LaunchAttempt(task=task):
                if self._attempts.handle(self._store.read, task) is not None:
                    return steady()  # another engine had handed it over; it is asked now how it is
                return self._launch_all(snapshot, [task])
            case StopAttempt(task=task):
                if not self._attempts.stop(self._store.read, task, self._settings.grace_seconds):
                    # Only the executor knows whether it runs: starting it again gives its handle, and then it can be stopped.
                    return self._launch_all(snapshot, [task])
            case FinishTask(task=task, exit=ended):
                return self._guarded(
                    snapshot, task, lambda: self._launch_all(snapshot, self._finish(snapshot, task, ended))
                )
            case CallRecords(task=calling, node=node):
                self._calls().see_to(snapshot.activation, snapshot.plan, node, calling)
            case EndCalls(task=task):
                self._calls().stop(task)
                ended = AttemptExit(None, STOPPED)
                self._end(snapshot, task, Outcome(state=TaskState.CANCELLED, cause=task.cause), ended, None)
            case CancelActivation():
                activation = snapshot.activation
                self._store.write(
                    lambda tx: activations.end(tx, activation, ActivationState.CANCELLED, cause=activation.cause)
                ).result()
            case LookAgain(at=at):
                return at
            case AwaitSlot():
                pass  # the engine has taken note
        return None

    def _launch_all(self, snapshot: Snapshot, started: list[Task]) -> float | None:
        """Hand attempts to the executor; return when to look at them again: at the first deadline, or soon if it is not there."""
        moments = [deadline_of(task, snapshot.plan.nodes[task.node].action) for task in started]
        try:
            for task in started:
                moments.append(self._guarded(snapshot, task, partial(self._launch, snapshot, task)))
        except ExecutorUnavailable as error:
            log.warning("an attempt cannot be started yet: %s", error.message)
            self._attempts.trouble(task, error.message)
            moments.append(steady() + RETRY_SECONDS)
        return min((at for at in moments if at is not None), default=None)

    def _guarded(self, snapshot: Snapshot, task: Task, step: Callable[[], float | None]) -> float | None:
        """Do something for a task; an error that nobody foresaw is tried again a few times, and then the task fails with it."""
        try:
            return step()
        except FabricJobsError:
            raise
        except Exception as error:
            cause = self._attempts.faults.note(task.task_id, error, f"task {task.name}")
            if not cause:
                self._attempts.trouble(task, str(error))
                return steady() + RETRY_SECONDS
        node = snapshot.plan.nodes[task.node]
        place = self._attempts.handle(self._store.read, task)
        if place is not None:
            self._attempts.stop(self._store.read, task, 0)  # in a thread of its own: it may fail as this has
        wanted = Finish(
            activation=snapshot.activation,
            task=task,
            node=node,
            plan=snapshot.plan,
            ending=Ending(exit_code=None, reason=FAULT),
            outcome=refused(task, node.action, cause),
        )
        return self._launch_all(snapshot, self._write_end(wanted))

    def _launch(self, snapshot: Snapshot, task: Task) -> float | None:
        node, activation = snapshot.plan.nodes[task.node], snapshot.activation
        executor = self._attempts.executor(activation.executor)
        try:
            process = process_of(self._store.read, activation, task.skill_name, node.action)
            process = replace(process, shell=self._issuing.shells.of(activation.activation_id))
            issued = self._issuing.to(activation, task, executor.inside(task.attempt_name))
            spec = attempt_spec(activation, task, node, self._payload(task), process, issued)
            handle = executor.start(spec)
        except InvalidInput as error:
            self._end(snapshot, task, refused(task, node.action, str(error)), AttemptExit(None), None)
            return None
        self._attempts.note(task, executor.name, handle)
        self._store.write(lambda tx: tasks.activate(tx, task, handle))
        return None

    def _payload(self, task: Task) -> bytes | None:
        if task.channel_id is None or task.record_offset is None:
            return None
        segment = self._store.records(task.channel_id, task.record_offset, max_bytes=1)
        if segment is None:  # an older version let a program acknowledge records that it did not hold
            raise InvalidInput("its record is not there any more: another task had acknowledged it")
        return segment.part(task.record_offset, 1).bytes.rstrip(b"\n")

    def _finish(self, snapshot: Snapshot, task: Task, ended: AttemptExit) -> list[Task]:
        """End a task; return those that its end has let start."""
        action = snapshot.plan.nodes[task.node].action
        inbound = snapshot.inbound(snapshot.plan.nodes[task.node])
        progress = {channel.channel_id: (channel.acked, channel.next_offset) for channel in inbound}
        facts = Ended(exit=ended, now=snapshot.now, lost_limit=self._settings.lost_limit, progress=progress)
        decided = outcome(task, action, facts)
        place = self._attempts.handle(self._store.read, task) if task.attempt else None
        payload = None
        if decided.state is TaskState.COMPLETE and place is not None and not (task.sent or task.rejected):
            is_stream = action.receives == "stream"
            try:
                payload = ends.response_of(*place, action, is_stream=is_stream, limit=self._settings.record_bytes)
            except InvalidInput as error:
                decided = refused(task, action, error.message)
        return self._end(snapshot, task, decided, ended, payload)

    def _end(
        self, snapshot: Snapshot, task: Task, decided: Outcome, ended: AttemptExit, payload: bytes | None
    ) -> list[Task]:
        is_job = task.kind == "job"
        place = self._attempts.handle(self._store.read, task) if task.attempt and is_job else None
        failed = decided.state is not TaskState.COMPLETE and place is not None
        node = snapshot.plan.nodes[task.node]
        lines = ends.last_lines(*place) if failed and place is not None else ()
        wanted = Finish(
            activation=snapshot.activation,
            task=task,
            node=node,
            plan=snapshot.plan,
            ending=ends.ending_of(ended),
            outcome=decided,
            payload=payload,
            last_lines=lines,
            hint=misplaced(lines, lambda: self._workspace(snapshot, task)),
        )
        if failed and place is not None and ended.reason != STOPPED:
            place[0].stop(place[1], 0)  # its program is gone; nothing of the attempt may live on beside the next one
        try:
            started = self._write_end(wanted)
        except (
            ReplayDiffers,
            InvalidInput,
        ) as error:  # InvalidInput: what it printed cannot go on, as in an endless cycle
            started = self._write_end(replace(wanted, outcome=refused(task, node.action, error.message)))
        return started

    def _workspace(self, snapshot: Snapshot, task: Task) -> str:
        action = snapshot.plan.nodes[task.node].action
        return process_of(self._store.read, snapshot.activation, task.skill_name, action).workspace

    def _write_end(self, wanted: Finish) -> list[Task]:
        """Write the end of a task and what follows from it; return the tasks that were started."""
        moves = {TaskState.COMPLETE: ends.complete, TaskState.QUEUED: ends.again}
        move = moves.get(wanted.outcome.state, ends.fail)
        activation_id = wanted.activation.activation_id

        def operation(tx: Tx) -> Advanced:
            move(tx, wanted)
            if wanted.outcome.state is not TaskState.COMPLETE:
                return Advanced()  # what follows is looked at
            advanced = advance(tx, activation_id, wanted.plan, self._settings)
            if advanced.is_all:
                tx.effects.seen(activation_id)
            return advanced

        advanced = self._store.write(operation).result()
        self._attempts.forget(wanted.task)
        self.slots.freed = True
        self.slots.note(activation_id, waits=advanced.waits)
        return list(advanced.started)

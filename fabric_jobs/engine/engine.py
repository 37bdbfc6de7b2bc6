"""The loop: look at an activation, decide, carry it out. A wake-up only says *look again* (DESIGN section 7)."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import replace
from queue import Empty, SimpleQueue

from fabric_jobs.engine import finish as ends
from fabric_jobs.engine.attempts import Attempts
from fabric_jobs.engine.decide import (
    CancelActivation,
    CreateTasks,
    Decision,
    FinishTask,
    LaunchAttempt,
    LookAgain,
    Outcome,
    StartTask,
    StopAttempt,
    decide,
    outcome,
)
from fabric_jobs.engine.finish import Finish
from fabric_jobs.engine.invoke import Invocation, invoke
from fabric_jobs.engine.launch import Endpoint, attempt_spec
from fabric_jobs.engine.plans import Plans
from fabric_jobs.engine.snapshot import Snapshot, take
from fabric_jobs.errors import ExecutorUnavailable, InvalidInput, PlaceUnavailable, ReplayDiffers
from fabric_jobs.executors.base import AttemptExit, Executor
from fabric_jobs.records import Task
from fabric_jobs.settings import Settings, cpu_count
from fabric_jobs.states import ActivationState, TaskState
from fabric_jobs.store import Effects, Store, Tx, activations, channels, definitions, tasks

log = logging.getLogger(__name__)

RETRY_SECONDS = 1.0  # after an executor or the disk did not answer


class Engine:
    """One thread that looks after all activations of an owner."""

    def __init__(self, store: Store, executors: Mapping[str, Executor], settings: Settings, endpoint: Endpoint) -> None:
        self.plans = Plans()
        self._store = store
        self._settings = settings
        self._endpoint = endpoint
        self._executor = next(iter(executors.values()))
        self._inbox: SimpleQueue[str | None] = SimpleQueue()
        self._attempts = Attempts(executors, self._inbox.put)
        self._timers: dict[str, float] = {}
        self._starved: set[str] = set()  # activations with records or tasks that wait for a worker slot
        self._fed: dict[int, str] = {}  # channels that feed message tasks -> activation
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        store.listen(self._committed)

    def start(self) -> None:
        """Begin with what the store says is under way."""
        for activation_id in activations.unsettled(self._store.read):
            self._inbox.put(activation_id)
        self._thread.start()

    def close(self) -> None:
        """End the loop; attempts run on, and the next engine finds them."""
        self._inbox.put(None)
        self._thread.join()
        self._attempts.close()

    def invoke(self, wanted: Invocation) -> Future[str]:
        """Start an activation; see `fabric_jobs.engine.invoke.invoke`."""
        return invoke(self._store, self.plans, wanted)

    def look(self, activation_id: str) -> None:
        """Something may have changed for an activation."""
        self._inbox.put(activation_id)

    def _committed(self, effects: Effects) -> None:
        for appended in effects.appended:
            fed = self._fed.get(appended.channel_id)
            if fed is not None:
                effects.activations.add(fed)
        for activation_id in effects.activations:
            self._inbox.put(activation_id)

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
            self._carry_out(snapshot, decision)

    def _snapshot(self, activation_id: str) -> Snapshot | None:
        sql = self._store.read
        activation = activations.find(sql, activation_id)
        if activation is None:
            return None
        plan = self.plans.of(sql, activation)
        taken = take(sql, activation_id, plan)
        if taken is None:
            return None
        self._note_channels(taken)
        exits, unavailable = self._attempts.exits(sql, taken.live)
        if unavailable:
            self._wake_at(activation_id, time.time() + RETRY_SECONDS)
        return replace(
            taken,
            exits=exits,
            now=time.time(),
            free_slots=self._settings.task_slots - tasks.busy_slots(sql),
            cpus=cpu_count(),
        )

    def _note_channels(self, snapshot: Snapshot) -> None:
        waiting = any(task.state is TaskState.QUEUED for task in snapshot.live)
        for channel in snapshot.channels:
            node = snapshot.plan.nodes.get(channel.node)
            if node is None or node.is_stream:
                continue
            if snapshot.activation.ended:
                self._fed.pop(channel.channel_id, None)
            else:
                self._fed[channel.channel_id] = channel.activation_id
                waiting = waiting or channel.dispatched < channel.next_offset
        if waiting and not snapshot.activation.ended:
            self._starved.add(snapshot.activation.activation_id)

    def _carry_out(self, snapshot: Snapshot, decision: Decision) -> None:
        match decision:
            case CreateTasks():
                self._create(snapshot, decision)
            case StartTask(task=task):
                started = self._store.write(lambda tx: tasks.start(tx, task, self._executor.name)).result()
                if started is not None:
                    self._launch(snapshot, started)
            case LaunchAttempt(task=task):
                self._launch(snapshot, task)
            case StopAttempt(task=task):
                if not self._attempts.stop(self._store.read, task, self._settings.grace_seconds):
                    self._launch(snapshot, task)  # only its executor knows whether it runs; then it can be stopped
                    self._attempts.stop(self._store.read, task, self._settings.grace_seconds)
            case FinishTask(task=task, exit=ended):
                self._finish(snapshot, task, ended)
            case CancelActivation():
                activation = snapshot.activation
                self._store.write(
                    lambda tx: activations.end(tx, activation, ActivationState.CANCELLED, cause=activation.cause)
                ).result()
            case LookAgain(at=at):
                self._wake_at(snapshot.activation.activation_id, at)

    def _create(self, snapshot: Snapshot, wanted: CreateTasks) -> None:
        def operation(tx: Tx) -> list[Task]:
            if wanted.channel_id is not None and not channels.dispatch(
                tx, wanted.channel_id, wanted.first + wanted.count
            ):
                return []
            started = []
            for index in range(wanted.count):
                offset = None if wanted.channel_id is None else wanted.first + index
                task_id = tasks.create(tx, self._new_task(snapshot, wanted, offset))
                task = tasks.find(tx, task_id)
                if task is not None and index < wanted.start:
                    started.append(tasks.start(tx, task, self._executor.name))
            return [task for task in started if task is not None]

        for task in self._store.write(operation).result():
            self._launch(snapshot, task)

    def _new_task(self, snapshot: Snapshot, wanted: CreateTasks, offset: int | None) -> tasks.NewTask:
        activation, node = snapshot.activation, wanted.node
        skill = node.skill_name.replace("/", "-")
        return tasks.NewTask(
            project_id=activation.project_id,
            name=f"{activation.project_id}-{skill}-{node.action.name}-{secrets.token_hex(4)}",
            activation_id=activation.activation_id,
            node=node.key,
            skill_name=node.skill_name,
            action_name=node.action.name,
            receives=node.action.receives,
            channel_id=wanted.channel_id,
            record_offset=offset,
        )

    def _launch(self, snapshot: Snapshot, task: Task) -> None:
        node = snapshot.plan.nodes[task.node]
        try:
            spec = attempt_spec(
                snapshot.activation, task, node, self._payload(task), self._source(snapshot, task), self._endpoint
            )
            handle = self._executor.start(spec)
        except ExecutorUnavailable as error:
            log.warning("task %s cannot be started yet: %s", task.name, error.message)
            self._wake_at(snapshot.activation.activation_id, time.time() + RETRY_SECONDS)
            return
        except InvalidInput as error:
            self._end(snapshot, task, Outcome(state=TaskState.FAILED, cause=str(error)), AttemptExit(None), None)
            return
        self._attempts.note(task, self._executor.name, handle)
        self._store.write(lambda tx: tasks.activate(tx, task, handle))

    def _payload(self, task: Task) -> bytes | None:
        if task.channel_id is None or task.record_offset is None:
            return None
        segment = self._store.records(task.channel_id, task.record_offset, max_bytes=1)
        assert segment is not None, "a record is kept until it is acknowledged"
        return segment.part(task.record_offset, 1).bytes.rstrip(b"\n")

    def _source(self, snapshot: Snapshot, task: Task) -> str:
        version = snapshot.activation.pins["skills"][task.skill_name]
        saved = definitions.find(self._store.read, task.project_id, "skill", task.skill_name, version)
        if saved is None or not saved.source:
            raise InvalidInput(
                f"skill '{task.skill_name}' was saved without its files, so there is no program to run here.",
                hint="Invoke it from its workspace.",
            )
        return saved.source

    def _finish(self, snapshot: Snapshot, task: Task, ended: AttemptExit) -> None:
        action = snapshot.plan.nodes[task.node].action
        decided = outcome(task, ended, action, now=snapshot.now, lost_limit=self._settings.lost_limit)
        place = self._attempts.handle(self._store.read, task) if task.attempt else None
        payload = None
        if decided.state is TaskState.COMPLETE and place is not None and task.sent == 0:
            is_stream = action.receives == "stream"
            try:
                payload = ends.response_of(*place, action, is_stream=is_stream, limit=self._settings.record_bytes)
            except InvalidInput as error:
                decided = Outcome(state=TaskState.FAILED, cause=error.message)
        self._end(snapshot, task, decided, ended, payload)

    def _end(self, snapshot: Snapshot, task: Task, decided: Outcome, ended: AttemptExit, payload: bytes | None) -> None:
        place = self._attempts.handle(self._store.read, task) if task.attempt else None
        failed = decided.state is not TaskState.COMPLETE and place is not None
        wanted = Finish(
            activation=snapshot.activation,
            task=task,
            node=snapshot.plan.nodes[task.node],
            plan=snapshot.plan,
            ending=ends.ending_of(ended),
            outcome=decided,
            payload=payload,
            last_lines=ends.last_lines(*place) if failed and place is not None else (),
        )
        try:
            self._write_end(wanted)
        except ReplayDiffers as error:
            self._write_end(replace(wanted, outcome=Outcome(state=TaskState.FAILED, cause=error.message)))
        if ended.code is None and place is not None:
            place[0].stop(place[1], 0)  # the wrapper is gone; nothing of the attempt may live on
        self._attempts.forget(task)
        starved, self._starved = self._starved, set()
        for activation_id in starved:
            self._inbox.put(activation_id)

    def _write_end(self, wanted: Finish) -> None:
        moves = {TaskState.COMPLETE: ends.complete, TaskState.QUEUED: ends.again}
        move = moves.get(wanted.outcome.state, ends.fail)
        self._store.write(lambda tx: move(tx, wanted)).result()

    def cancel(self, activation_id: str, project_id: str, cause: str) -> Future[bool]:
        """Ask for the end of an activation; the future holds False when it had ended."""
        return self._store.write(lambda tx: activations.ask_cancel(tx, activation_id, project_id, cause))

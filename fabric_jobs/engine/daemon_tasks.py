"""Looks after the tasks of daemons, in the engine's thread: takes snapshots, and carries out what `decide_daemon` says.

How a daemon is reached and called is a matter of `engine.calls`; both meet in a `Want`.
"""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from functools import partial

from fabric_jobs.clock import steady
from fabric_jobs.definitions import Action
from fabric_jobs.documents import skill_from_json
from fabric_jobs.engine.apart import action_of
from fabric_jobs.engine.calls.target import port_of
from fabric_jobs.engine.decide import Decision, FinishTask, LaunchAttempt, LookAgain, StartTask, StopAttempt
from fabric_jobs.engine.decide_daemon import CreateDaemon, DaemonSnapshot, daemon_outcome, decide_daemon
from fabric_jobs.engine.finish import ending_of
from fabric_jobs.engine.lanes import RETRY_SECONDS, Work
from fabric_jobs.engine.launch import as_daemon, labels_of, program_of
from fabric_jobs.engine.output import Output
from fabric_jobs.engine.places import Places
from fabric_jobs.engine.printed import last_printed
from fabric_jobs.engine.wakes import Wakes
from fabric_jobs.engine.wants import DaemonKey, Failure, Launched, Want, Wants
from fabric_jobs.errors import ExecutorUnavailable, FabricJobsError, InvalidInput
from fabric_jobs.executors.base import STOPPED, AttemptExit, AttemptSpec, Executor, Inside
from fabric_jobs.names import task_name
from fabric_jobs.records import Task
from fabric_jobs.settings import Settings
from fabric_jobs.states import TaskState
from fabric_jobs.store import Store, Tx, definitions, tasks
from fabric_jobs.store.tasks import NewTask

log = logging.getLogger(__name__)

IDLE = "nobody called it any more"
CHANGED = "its program has changed"
OWNER_ENDED = "its owner ended"


class DaemonTasks:
    """The tasks of the daemons of an owner."""

    def __init__(self, store: Store, places: Places, settings: Settings, wakes: Wakes) -> None:
        self.wants = Wants(wakes.put)
        self._store = store
        self._places = places
        self._settings = settings
        self._wakes = wakes
        self._none_left = threading.Event()  # while closing: no daemon runs any more

    def adopt(self) -> None:
        """Take over the daemons that an earlier owner left; they end when nobody calls them for a while."""
        for task in tasks.daemons(self._store.read):
            self.wants.put(self._want_of(task))

    def close(self, seconds: float) -> None:
        """Stop all daemons and wait for their end. The engine's thread must be running."""
        self.wants.close()
        if tasks.daemons(self._store.read):
            self._none_left.wait(seconds)

    def look(self, subject: str) -> None:
        """Decide on a daemon, and do it. An error must not stop the engine."""
        want = self.wants.find(subject)
        if want is None:
            return
        try:
            seen = self._snapshot(want)
            for decision in decide_daemon(seen):
                self._carry_out(want, seen, decision)
            again_at = self._places.again_at([seen.task] if seen.task is not None else [])
            if again_at is not None:
                self._wakes.at(subject, again_at)
        except FabricJobsError as error:
            log.warning("the daemon of skill '%s' has to wait: %s", want.key.skill_name, error.message)
            want.failure = Failure(steady(), error.message)
            want.listener()
            self._wakes.at(subject, steady() + RETRY_SECONDS)
        if self.wants.closing and not tasks.daemons(self._store.read):
            self._none_left.set()

    def _snapshot(self, want: Want) -> DaemonSnapshot:
        subject, now = want.key.subject, steady()
        exits = self._places.exits(subject)  # before the rows
        live = [task for task in tasks.daemons(self._store.read) if task.subject == subject]
        task = live[-1] if live else None
        idle_at = (now if want.is_used else want.last_used) + self._settings.daemon_idle_seconds
        if task is not None:
            want.trouble = self._places.trouble(task)
        return DaemonSnapshot(
            task=task,
            end_cause=self._end_cause(want, now >= idle_at),
            is_silent=bool(want.silent),
            is_awaited=want.waiters > 0 and want.failure is None,
            was_ready=want.ready,
            deaths=want.deaths,
            port=want.told or want.port,
            exit=None if task is None else exits.get((task.task_id, task.attempt)),
            is_followed=task is not None and task.task_id in self._places.in_hand([task], now),
            idle_at=idle_at,
        )

    def _end_cause(self, want: Want, is_idle: bool) -> str:
        """Return why a program is to end; empty: it may run."""
        if self.wants.closing:
            return OWNER_ENDED
        if want.silent:
            return want.silent
        if want.outdated and not want.is_used:
            return CHANGED
        return IDLE if is_idle else ""

    def _carry_out(self, want: Want, seen: DaemonSnapshot, decision: Decision | CreateDaemon) -> None:
        place = want.key.executor
        match decision:
            case CreateDaemon():
                created = self._store.write(lambda tx: _created(tx, want.key)).result()
                self._start(want, created)
            case StartTask(task=task):
                self._start(want, self._store.write(lambda tx: tasks.start(tx, task, place)).result())
            case LaunchAttempt(task=task):
                handle = self._handle(task)
                if handle:
                    self._places.look(self._work(want, task), place, handle)
                else:
                    self._places.start(self._work(want, task), place)
            case StopAttempt(task=task):
                grace = 0.0 if want.silent else self._settings.grace_seconds
                self._places.stop(self._work(want, task), place, self._handle(task), grace)
            case FinishTask(task=task, exit=ended):
                self._finish(want, seen, task, ended)
            case LookAgain(at=at):
                self._wakes.at(want.key.subject, at)

    def _start(self, want: Want, task: Task | None) -> None:
        if task is not None:
            self._places.start(self._work(want, task), want.key.executor)
        else:
            self._wakes.put(want.key.subject)

    def _finish(self, want: Want, seen: DaemonSnapshot, task: Task, ended: AttemptExit) -> None:
        outcome = daemon_outcome(seen, ended)
        printed = self._places.output(task).printed
        ending, is_over = ending_of(ended), outcome.state is not TaskState.QUEUED
        if is_over:
            self._store.write(lambda tx: tasks.end(tx, task, outcome.state, ending, cause=outcome.cause)).result()
        else:
            self._store.write(lambda tx: tasks.requeue(tx, task, ending, outcome.again, cause=outcome.cause)).result()
        self._places.forget(task)
        want.deaths = 0 if is_over or want.ready else want.deaths + 1
        if outcome.state is TaskState.FAILED and not seen.is_silent:
            want.failure = Failure(steady(), outcome.cause, printed)
        want.ready, want.silent, want.running = False, "", None
        want.listener()
        if is_over and want.outdated and not want.is_used:
            self.wants.drop(want)
        self._wakes.put(want.key.subject)  # a caller may be waiting

    def _work(self, want: Want, task: Task) -> Work:
        return Work(
            task=task,
            make=partial(_spec, want, task),
            read=partial(_read, want),
            note=partial(self._note, want, task),
            postpone=lambda still_waits: None,
        )

    def _note(self, want: Want, task: Task, handle: str) -> None:
        self._store.write_soon(lambda tx: tasks.activate(tx, task, handle))
        want.running, want.failure = Launched(task, handle), None
        want.listener()

    def _handle(self, task: Task) -> str:
        known = self._places.handle(task)
        attempt = None if known else tasks.attempt(self._store.read, task.task_id, task.attempt)
        return known or (attempt.handle or "" if attempt is not None else "")

    def _want_of(self, task: Task) -> Want:
        """Return the want of a daemon that an earlier owner started."""
        version, files, executor = task.node.split(":")
        key = DaemonKey(
            executor=executor,
            project_id=task.project_id,
            skill_name=task.skill_name,
            version=int(version),
            action=task.action_name,
            files=files,
        )
        read = self._store.read
        saved = definitions.find(read, task.project_id, "skill", task.skill_name, int(version))
        skill = skill_from_json(saved.body) if saved is not None else None
        action = action_of(read, task.project_id, skill, task.action_name) if skill is not None else None
        if skill is not None and action is not None:
            with suppress(InvalidInput):
                return Want(key, action, program_of(saved, action), port_of(skill.defaults(), action))
        return Want(key, Action(name=task.action_name, type="daemon"), None, 0)


def _created(tx: Tx, key: DaemonKey) -> Task | None:
    new = NewTask(
        project_id=key.project_id,
        name=task_name(key.project_id, key.skill_name, key.action),
        activation_id=None,
        node=key.node,
        skill_name=key.skill_name,
        action_name=key.action,
        kind="daemon",
        receives="message",
    )
    created = tasks.find(tx, tasks.create(tx, new))
    return None if created is None else tasks.start(tx, created, key.executor)


def _spec(want: Want, task: Task, inside: Inside) -> AttemptSpec:
    """Return what an executor needs to start a daemon; raise InvalidInput when its definition is gone."""
    if want.process is None:
        raise InvalidInput("its skill has been deleted")
    spec = AttemptSpec(name=task.attempt_name, processes=(want.process,), labels=labels_of(task, ""))
    return as_daemon(spec, want.action, want.port, inside)


def _read(want: Want, executor: Executor, handle: str, ended: AttemptExit) -> Output:
    """Return the end of what a daemon printed, and see to it that no process of it lives on beside the next one."""
    with suppress(ExecutorUnavailable):
        want.told = executor.address(handle)[1]
    if ended.reason != STOPPED:
        with suppress(ExecutorUnavailable):
            executor.stop(handle, 0.0)
    return Output(printed=last_printed(executor, handle))

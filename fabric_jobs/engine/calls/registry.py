"""The running daemons: those that this owner started, and those left by the previous one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import replace
from typing import Any

from fabric_jobs.definitions import Action
from fabric_jobs.documents import skill_from_json
from fabric_jobs.engine.apart import action_of
from fabric_jobs.engine.calls.daemons import Daemon, DaemonFailed, DaemonKey, Means, fingerprint, spec_of
from fabric_jobs.engine.calls.ending import end
from fabric_jobs.engine.calls.target import port_of
from fabric_jobs.engine.launch import program_of
from fabric_jobs.errors import ExecutorUnavailable, InvalidInput
from fabric_jobs.executors.base import ProcessSpec
from fabric_jobs.records import SavedDefinition, Task
from fabric_jobs.states import TaskState
from fabric_jobs.store import definitions, tasks
from fabric_jobs.store.tasks import Ending

CALLS_SECONDS = 0.1  # between two checks whether an outdated daemon is still called


class Daemons:
    """The daemons of an owner. All but `adopt` runs in the loop of the calls."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._running: dict[DaemonKey, Daemon] = {}
        self._left: dict[
            tuple[str, str, str, str], tuple[Task, str, str]
        ] = {}  # by program: task, executor and handle of those left by the previous owner
        self._retired: set[asyncio.Task[None]] = set()  # stops of those whose program changed
        self._idle: asyncio.Task[None] | None = None  # stops those without calls

    def adopt(self) -> bool:
        """Note the daemons left by the previous owner, and end the tasks of those that are gone; return whether any runs."""
        for task in tasks.daemons(self._means.store.read):
            attempt = tasks.attempt(self._means.store.read, task.task_id, task.attempt) if task.attempt else None
            executor = attempt.executor if attempt is not None else ""
            handle = attempt.handle if attempt is not None else None
            if attempt is not None and handle is None:
                handle = self._handed_over(task)
            if handle is not None and self._runs(executor, handle):
                self._left[task.project_id, task.skill_name, task.action_name, executor] = (task, executor, handle)
            else:
                self._note_gone(task, executor, handle)
        return bool(self._left)

    def find(self, key: DaemonKey) -> Daemon | None:
        """Return the daemon of a key, if it has been made."""
        return self._running.get(key)

    def make(self, key: DaemonKey, action: Action, process: ProcessSpec) -> Daemon:
        """Return a new daemon; it takes over the program left by the previous owner, if there is one.

        A daemon of the same version whose files have changed is stopped once it has no more calls.
        """
        for old in [other for other in self._running if replace(other, files=key.files) == key]:
            self._retire(self._let_go(self._running.pop(old)))
        daemon = Daemon(key, action, process, self._means)
        left = self._left.get(key.program)
        if left is not None and left[0].node == key.node:
            daemon.adopt(left[0], left[2])
        elif left is not None:
            self._retire(self._stop_left(*left))
        self._left.pop(key.program, None)
        self._running[key] = daemon
        self.watch()
        return daemon

    async def bring_up(self, saved: SavedDefinition, action: Action, executor: str, port: int) -> None:
        """Start a daemon of a saved skill unless it is running."""
        process = program_of(saved, action)
        key = DaemonKey(
            executor=executor,
            project_id=saved.project_id,
            skill_name=saved.name,
            version=saved.version,
            action=action.name,
            files=fingerprint(process, executor),
        )
        daemon = self._running.get(key) or self.make(key, action, process)
        daemon.last_used = time.monotonic()
        with suppress(DaemonFailed):  # its task shows it, and the next call tries again
            await daemon.pool(port)

    def _retire(self, ending: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(ending)
        self._retired.add(task)
        task.add_done_callback(self._retired.discard)

    async def _let_go(self, daemon: Daemon) -> None:
        while daemon.calls:
            await asyncio.sleep(CALLS_SECONDS)
        await daemon.stop("its program has changed")

    def watch(self) -> None:
        """Make sure that idle daemons are stopped."""
        if self._idle is None or self._idle.done():
            self._idle = asyncio.get_running_loop().create_task(self._watch_idle())

    async def close(self) -> None:
        """Stop all daemons."""
        if self._idle is not None:
            self._idle.cancel()
            await asyncio.gather(self._idle, return_exceptions=True)
        stops = [daemon.stop("its owner ended") for daemon in self._running.values()]
        stops += [self._stop_left(*left) for left in self._left.values()]
        await asyncio.gather(*stops, *self._retired, return_exceptions=True)

    def _handed_over(self, task: Task) -> str | None:
        """Return the handle of an attempt that may have started: only its place knows. None when it cannot be had."""
        version, files, executor = task.node.split(":")
        saved = definitions.find(self._means.store.read, task.project_id, "skill", task.skill_name, int(version))
        skill = skill_from_json(saved.body) if saved is not None else None
        read = self._means.store.read
        action = action_of(read, task.project_id, skill, task.action_name) if skill is not None else None
        if skill is None or action is None:
            return None
        key = DaemonKey(
            executor=executor,
            project_id=task.project_id,
            skill_name=task.skill_name,
            version=int(version),
            action=action.name,
            files=files,
        )
        daemon = Daemon(key, action, program_of(saved, action), self._means)
        try:
            handle = daemon.executor.start(spec_of(daemon, task, port_of(skill.defaults(), action)))
        except (InvalidInput, ExecutorUnavailable):
            return None
        self._means.store.write(lambda tx: tasks.activate(tx, task, handle)).result()
        return handle

    def _runs(self, executor: str, handle: str) -> bool:
        try:
            return self._means.executors[executor].poll(handle) is None
        except ExecutorUnavailable:
            return True  # unknown is not the same as gone

    def _note_gone(self, task: Task, executor: str, handle: str | None) -> None:
        if handle is not None:
            with suppress(ExecutorUnavailable):  # the place does not answer: its processes are out of reach
                self._means.executors[executor].stop(handle, 0.0)  # a killed wrapper may leave its program running
        ending, cause = Ending(exit_code=None, reason="lost"), "it had ended before this owner began"
        self._means.store.write(lambda tx: tasks.end(tx, task, TaskState.FAILED, ending, cause=cause)).result()

    async def _watch_idle(self) -> None:
        idle = self._means.settings.daemon_idle_seconds
        begun = time.monotonic()
        while self._running or self._left:
            await asyncio.sleep(min(idle, 60.0))
            now = time.monotonic()
            while self._left and now - begun >= idle:
                _, left = self._left.popitem()
                await self._stop_left(*left)
            for key, daemon in list(self._running.items()):
                if not daemon.calls and now - daemon.last_used >= idle:
                    del self._running[key]
                    await daemon.stop("nobody called it any more")

    async def _stop_left(self, task: Task, executor: str, handle: str) -> None:
        grace = self._means.settings.grace_seconds
        await asyncio.to_thread(end, self._means.executors[executor], handle, grace)
        ending = Ending(exit_code=None, reason="")
        cause = "nobody called it any more"
        write = self._means.store.write(lambda tx: tasks.end(tx, task, TaskState.COMPLETE, ending, cause=cause))
        await asyncio.wrap_future(write)

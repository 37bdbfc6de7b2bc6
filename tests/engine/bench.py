"""Offers a real store, a real engine, and an executor in memory that the test controls."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fabric_jobs.engine import Engine
from fabric_jobs.engine.launch import Issuing
from fabric_jobs.engine.secrets import Secrets
from fabric_jobs.errors import InvalidInput
from fabric_jobs.executors.base import AttemptSpec, Executor
from fabric_jobs.records import Activation, Task
from fabric_jobs.routing import SOURCE
from fabric_jobs.sealing import Keys
from fabric_jobs.settings import Settings
from fabric_jobs.store import Effects, Store, activations, channels, commits, tasks
from fabric_jobs.store.activations import RunFilter
from fabric_jobs.store.commits import Commit
from fabric_jobs.store.sent import Sent
from tests.executors.fake import FakeExecutor
from tests.factories import (
    PROJECT,
    agent_document,
    invocation,
    ndjson,
    records_of,
    save_agent,
    save_skill,
    skill_document,
)

SECONDS = 30.0


class Place(FakeExecutor):
    """The fake executor, which reports every call to the bench."""

    def __init__(self, told: Callable[[], None]) -> None:
        super().__init__()
        self.told = told
        self.stopped: list[str] = []
        self.started: list[str] = []  # every call
        self.refused = 0  # calls while unreachable
        self.invalid = ""  # the error of `start`

    def anew(self) -> Place:
        """Return the executor of another process, for the same attempts, but without any memory."""
        other = Place(self.told)
        other.specs, other.exits, other.output = self.specs, self.exits, self.output
        other.stopped, other.started = self.stopped, self.started
        return other

    def start(self, spec: AttemptSpec) -> str:
        if self.invalid:
            raise InvalidInput(self.invalid)
        handle = super().start(spec)
        self.started.append(handle)
        self.told()
        return handle

    def stop(self, handle: str, grace: float) -> None:
        self._reach()
        self.stopped.append(handle)
        super().stop(handle, grace)
        self.told()

    def _reach(self) -> None:
        if self.unreachable:
            self.refused += 1
            self.told()
        super()._reach()


class Bench:
    """Store, engine and executors. `until` waits without a clock: it checks after every commit and executor call."""

    def __init__(self, directory: Path, **settings: Any) -> None:
        """Open a store in `directory`; `others` are more executors, by name."""
        self._others: dict[str, Executor] = settings.pop("others", {})
        self._changed = threading.Condition()
        self.settings = Settings(state_dir=directory, **{"grace_seconds": 0.0, **settings})
        self.store = Store(directory / "state.db")
        self.store.listen(self._committed)
        self.place = Place(self._tell)
        self.secrets = Secrets(self.store, Keys(directory / "secrets.key"))
        self.issuing = Issuing(key=b"k" * 32, argv_bytes=100_000, secrets=self.secrets)
        self.engine = Engine(self.store, {"fake": self.place, **self._others}, self.settings, self.issuing)
        self.engine.start()

    def close(self) -> None:
        self.engine.close()
        self.store.close()

    def restart(self) -> None:
        """Replace the engine with another one, on the same store and executor."""
        self.engine.close()
        self.place = self.place.anew()
        self.engine = Engine(self.store, {"fake": self.place, **self._others}, self.settings, self.issuing)
        self.engine.start()

    def _committed(self, effects: Effects) -> None:
        self._tell()

    def _tell(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def until(self, predicate: Callable[[], object]) -> None:
        """Wait until `predicate` is true."""
        with self._changed:
            assert self._changed.wait_for(lambda: bool(predicate()), SECONDS), self.story()

    def story(self) -> str:
        """Describe what is stored, for the message of a failed wait."""
        found = [str(item) for item in activations.listed(self.store.read, RunFilter(project_id=PROJECT, limit=9))]
        return "\n".join([*found, *map(str, self.tasks())])

    # What a caller does

    def agent(self, wires: list[tuple[str, str]], **skills: dict[str, Any]) -> str:
        """Save skills and the agent `chain` of them, and invoke it."""
        for name, changes in skills.items():
            save_skill(self.store, skill_document(name, **changes))
        save_agent(self.store, agent_document(skills, wires))
        return self.invoke("agent", "chain")

    def skill(self, name: str = "a", **changes: Any) -> str:
        """Save a skill and invoke it."""
        save_skill(self.store, skill_document(name, **changes))
        return self.invoke("skill", name)

    def invoke(self, kind: str, name: str, payload: object = None, **changes: Any) -> str:
        return self.engine.invoke(invocation(kind, name, payload, **changes)).result(SECONDS).activation_id

    # What programs do

    def running(self, node: str, number: int = 1) -> Task:
        """Wait until `number` tasks of a node have been handed to the executor; return the last one."""

        def those() -> list[Task]:
            accepted = self.place.specs.keys()
            return [task for task in self.tasks(node) if task.attempt_name in accepted and task.state == "ACTIVE"]

        seen: list[Task] = []

        def enough() -> bool:
            seen[:] = those()  # keep these, since they may soon change
            return len(seen) >= number

        self.until(enough)
        return seen[number - 1]

    def finish(self, node: str, code: int = 0, *, stdout: bytes = b"", stderr: bytes = b"", number: int = 1) -> Task:
        """End a node's running program; return its task as it was."""
        task = self.running(node, number)
        self.place.finish(task.attempt_name, code, stdout=stdout, stderr=stderr)
        return task

    def send(self, task: Task, *records: object, sequence: int = 1, output: str = "out", hold: bool = False) -> None:
        """Send records as the program of a task."""
        sent = Sent(output=output, count=len(records), bytes=ndjson(records))
        commit = Commit(sequence=sequence, sent=(sent,), hold=hold)
        self.store.write(lambda tx: commits.apply(tx, task.task_id, task.attempt, commit)).result(SECONDS)

    # What is stored

    def tasks(self, node: str | None = None) -> list[Task]:
        found = tasks.listed(self.store.read, RunFilter(project_id=PROJECT, limit=1000))
        return [task for task in reversed(found) if node in (None, task.node)]

    def task(self, task: Task) -> Task:
        now = tasks.find(self.store.read, task.task_id)
        assert now is not None
        return now

    def activation(self, activation_id: str) -> Activation:
        found = activations.find(self.store.read, activation_id)
        assert found is not None
        return found

    def ended(self, activation_id: str) -> Activation:
        """Wait until an activation and all its tasks have ended."""
        self.until(lambda: self.activation(activation_id).ended and not tasks.live(self.store.read, activation_id))
        return self.activation(activation_id)

    def response(self, activation_id: str) -> list[Any]:
        found = channels.of_activation(self.store.read, activation_id)
        return [record for item in found if item.node == SOURCE for record in records_of(self.store, item.channel_id)]

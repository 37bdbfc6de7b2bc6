"""Deletes message and batch tasks that went well, beyond the newest of each node, in a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Mapping
from queue import SimpleQueue

from fabric_jobs.errors import FabricJobsError
from fabric_jobs.executors.base import Executor
from fabric_jobs.records import Task
from fabric_jobs.store import Store, tasks, trim

EVERY = 200  # completed tasks of a node between two looks
TOGETHER = 50  # tasks deleted in one transaction

Place = tuple[str, str]  # activation, node

log = logging.getLogger(__name__)


class Trims:
    """Counts what completes. The engine's thread calls `note`, which starts the thread when there is something to do."""

    def __init__(self, store: Store, executors: Mapping[str, Executor], kept: int) -> None:
        """Keep the newest `kept` tasks of each node."""
        self._store = store
        self._executors = executors
        self._kept = kept
        self._counts: Counter[Place] = Counter()
        self._places: SimpleQueue[Place | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()

    def note(self, task: Task) -> None:
        """Note that a task has completed."""
        if task.kind != "job" or task.receives == "stream":
            return
        place = (str(task.activation_id), task.node)
        self._counts[place] += 1
        if self._counts[place] % EVERY or self._counts[place] <= self._kept:
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="trims", daemon=True)
            self._thread.start()
        self._places.put(place)

    def forget(self, activation_id: str) -> None:
        """Forget an activation that has ended."""
        for place in [place for place in self._counts if place[0] == activation_id]:
            del self._counts[place]

    def close(self) -> None:
        """End the thread."""
        self._closing.set()
        self._places.put(None)
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while (place := self._places.get()) is not None:
            try:
                self._trim(*place)
            except FabricJobsError as error:  # what stays is deleted with the next look, or with its activation
                log.warning("tasks that went well cannot be deleted: %s", error.message)

    def _trim(self, activation_id: str, node: str) -> None:
        found = trim.uneventful(self._store.read, activation_id, node, self._kept)
        for first in range(0, len(found), TOGETHER):
            some = found[first : first + TOGETHER]
            for task in some:
                if self._closing.is_set():
                    return
                self._remove(task)
            self._store.write(lambda tx, some=some: trim.delete(tx, activation_id, node, some)).result()  # type: ignore[misc]

    def _remove(self, task: trim.Uneventful) -> None:
        """Remove what its place keeps: before the rows, which say where it is."""
        for attempt in tasks.attempts(self._store.read, task.task_id):
            executor = self._executors.get(attempt.executor)
            if executor is not None:
                executor.remove(attempt.handle or f"{task.name}-{attempt.attempt}")

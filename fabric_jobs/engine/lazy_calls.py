"""The calls and the tasks of daemons, made when first needed: most workspaces call nothing, and a command waits for the start."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from fabric_jobs.engine.launch import Issuing
from fabric_jobs.engine.places import Places
from fabric_jobs.engine.wakes import Wakes
from fabric_jobs.settings import Settings
from fabric_jobs.store import Store, tasks

if TYPE_CHECKING:
    from fabric_jobs.engine.calls import Calls
    from fabric_jobs.engine.daemon_tasks import DaemonTasks

END_SECONDS = 15.0  # a forced stop takes no longer


class LazyCalls:
    """Makes them once. Safe to use from any thread."""

    def __init__(self, store: Store, places: Places, settings: Settings, issuing: Issuing, wakes: Wakes) -> None:
        self._store = store
        self._places = places
        self._settings = settings
        self._issuing = issuing
        self._wakes = wakes
        self._calls: Calls | None = None
        self._daemons: DaemonTasks | None = None
        self._making = threading.Lock()

    def calls(self) -> Calls:
        """Return the calls."""
        daemons = self.daemons()
        with self._making:
            if self._calls is None:
                from fabric_jobs.engine.calls import Calls, Means

                executors = self._places.executors
                means = Means(store=self._store, executors=executors, settings=self._settings, wants=daemons.wants)
                self._calls = Calls(means, self._issuing)
            return self._calls

    def daemons(self) -> DaemonTasks:
        """Return the tasks of the daemons."""
        with self._making:
            if self._daemons is None:
                from fabric_jobs.engine.daemon_tasks import DaemonTasks

                self._daemons = DaemonTasks(self._store, self._places, self._settings, self._wakes)
            return self._daemons

    def adopt(self) -> None:
        """Take over the daemons that an earlier owner left."""
        if tasks.daemons(self._store.read):
            self.daemons().adopt()

    def forget(self, activation_id: str) -> None:
        """End the calls of a completed activation. Safe to call from any thread."""
        if self._calls is not None:
            self._calls.forget(activation_id)

    def close(self) -> None:
        """End the calls, then the daemons; the engine's thread must be running."""
        if self._calls is not None:
            self._calls.close()
        if self._daemons is not None:
            self._daemons.close(self._settings.grace_seconds + END_SECONDS)

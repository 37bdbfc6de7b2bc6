"""Lets the items of jobs be read from the first job on that names where they come from (docs/howto/job-sources.md)."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING

from fabric_jobs.settings import Settings
from fabric_jobs.store import Store, activations

if TYPE_CHECKING:
    from fabric_jobs.engine.item_readers import ItemReaders
    from fabric_jobs.jobs import Job


class Enumerators:
    """Makes the readers when a job needs them: most owners have none."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self._readers: ItemReaders | None = None
        self._making = threading.Lock()

    def start(self) -> None:
        """Go on with the jobs that an earlier owner has left."""
        if activations.some_get_items(self._store.read):
            self._the_readers().adopt()

    def follow(self, submitted: Future[Job]) -> Future[Job]:
        """Read the items of a job once it is stored; return the job as given."""
        readers = self._the_readers()
        submitted.add_done_callback(lambda done: None if done.exception() else readers.add(done.result()))
        return submitted

    def troubles(self, activation_id: str) -> dict[str, str]:
        """Return why a job gets no items at present, by the node that they are for; empty if nothing is wrong."""
        return {} if self._readers is None else self._readers.troubles(activation_id)

    def close(self) -> None:
        """Read no more. The next owner goes on."""
        if self._readers is not None:
            self._readers.close()

    def _the_readers(self) -> ItemReaders:
        from fabric_jobs.engine.item_readers import ItemReaders  # late: its imports take time

        with self._making:
            if self._readers is None:
                self._readers = ItemReaders(self._store, self._settings)
            return self._readers

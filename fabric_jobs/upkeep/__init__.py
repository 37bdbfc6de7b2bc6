"""Maintenance of a state directory by its owner: size, pruning, backup, audit."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from fabric_jobs.blobs import Blobs, Swept
from fabric_jobs.executors.base import Executor
from fabric_jobs.state_dir import deployed_dir
from fabric_jobs.store import Store, definitions
from fabric_jobs.store.audit import Audit, audit
from fabric_jobs.upkeep import content
from fabric_jobs.upkeep.backup import Backup, BackupWanted
from fabric_jobs.upkeep.prune import Candidate, Criteria, Pruned, Pruner, choose
from fabric_jobs.upkeep.sizes import Sizes, measure

__all__ = ["Audit", "Backup", "BackupWanted", "Candidate", "Criteria", "Pruned", "Sizes", "Swept", "Upkeep"]


class Upkeep:
    """Long operations. Each method is called in its own thread, and stops early when the owner ends."""

    def __init__(
        self,
        store: Store,
        executors: Mapping[str, Executor],
        blobs: Blobs,
        attempts: Path,
        project_id: str,
        on_pruned: Callable[[], None] = lambda: None,
    ) -> None:
        """`attempts` is where the local executor keeps attempts; `on_pruned()` is called when activations are gone."""
        self._store = store
        self._blobs = blobs
        self._attempts = attempts
        self._project_id = project_id
        self._deployed = deployed_dir(store.path.parent).absolute()
        self._closing = threading.Event()
        self._running = 0
        self._lock = threading.Lock()
        self._pruner = Pruner(store, executors, self._closing, on_pruned)
        self._backup: Backup | None = None

    @property
    def busy(self) -> bool:
        """Return whether an operation is running."""
        return self._running > 0 or (self._backup is not None and not self._backup.ended)

    def stop(self) -> None:
        """Ask running operations to end early; no existing data is lost."""
        self._closing.set()

    def close(self) -> None:
        """Return when no operation is running any more."""
        self.stop()
        if self._backup is not None:
            self._backup.join()

    def sizes(self) -> Sizes:
        """Measure the database, the attempts, and every activation."""
        with self._noted():
            return measure(self._store.path, self._attempts, self._closing.is_set)

    def check(self) -> Audit:
        """Audit the database and the content: find inconsistencies, and count every record."""
        with self._noted():
            found = audit(self._store.path, self._closing.is_set)
            content.check(self._store, self._blobs, found, self._closing.is_set)
            for project, name, source in definitions.sources_below(self._store.read, str(self._deployed)):
                if not Path(source).is_dir():
                    found.wrong(f"API '{name}' of project {project}: its project files are missing: {source}")
            return found

    def choose(self, wanted: Criteria, project_id: str) -> list[Candidate]:
        """Return the activations of a project that `prune` would delete, oldest first."""
        with self._noted():
            return choose(self.sizes(), self._store.path, project_id, wanted)

    def prune(self, activation_ids: list[str], project_id: str, *, dead_letters: bool, seconds: float) -> Pruned:
        """Delete activations of a project, for at most about `seconds`."""
        with self._noted():
            return self._pruner.prune(activation_ids, project_id, dead_letters=dead_letters, seconds=seconds)

    def unused_content(self) -> Swept:
        """Return how many bytes of content no key refers to."""
        with self._noted():
            return content.unused(self._store, self._blobs)

    def sweep_content(self, *, seconds: float) -> Swept:
        """Remove bytes of content that no key refers to, for at most about `seconds`."""
        deadline = time.monotonic() + seconds
        with self._noted():
            return content.sweep(
                self._store, self._blobs, lambda: self._closing.is_set() or time.monotonic() > deadline
            )

    def sweep_deployed(self) -> int:
        """Remove the project files of APIs that no version needs any more; return how many projects."""
        from fabric_jobs import deployed  # late: few owners sweep

        with self._noted():
            return deployed.sweep(self._deployed, lambda path: definitions.needs_files(self._store.read, str(path)))

    def compact(self) -> str:
        """Return the database's free pages to the disk; return why that was not done, or an empty text."""
        with self._noted():
            return self._pruner.compact()

    def retain(self, wanted: Criteria | None) -> int:
        """Finish an earlier owner's deletions and delete by `wanted`; return the number of deleted activations.

        With `wanted`, sweep content too, but not in a bucket, whose list costs money.
        """
        with self._noted():
            if wanted is not None and self._blobs.shelf.is_local:
                content.sweep(self._store, self._blobs, self._closing.is_set)
            if wanted is not None:
                self.sweep_deployed()
            chosen = [choice.activation_id for choice in self.choose(wanted, self._project_id)] if wanted else []
            count = 0
            while not self._closing.is_set():
                pruned = self._pruner.prune(chosen, self._project_id, dead_letters=False, seconds=1.0)
                count += pruned.count
                chosen = chosen[pruned.seen :]
                if not chosen and pruned.finished:
                    break
            return count

    def start_backup(self, wanted: BackupWanted) -> Backup:
        """Begin a backup in a thread; raise AlreadyExists when one is running, or its destination exists."""
        with self._lock:
            self._backup = Backup.start(
                self._backup, wanted, self._store, self._blobs, self._attempts, self._closing.is_set
            )
            return self._backup

    @property
    def backup(self) -> Backup | None:
        """Return the last backup of this owner, if there was one."""
        return self._backup

    @contextmanager
    def _noted(self) -> Iterator[None]:
        with self._lock:
            self._running += 1
        try:
            yield
        finally:
            with self._lock:
                self._running -= 1

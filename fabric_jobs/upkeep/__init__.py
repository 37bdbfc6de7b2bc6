"""Maintenance of a state directory by its owner: size, pruning, backup, audit."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from fabric_jobs.executors.base import Executor
from fabric_jobs.store import Store
from fabric_jobs.store.audit import Audit, audit
from fabric_jobs.upkeep.backup import Backup, BackupWanted
from fabric_jobs.upkeep.prune import Candidate, Criteria, Pruned, Pruner, choose
from fabric_jobs.upkeep.sizes import Sizes, measure

__all__ = ["Audit", "Backup", "BackupWanted", "Candidate", "Criteria", "Pruned", "Sizes", "Upkeep"]


class Upkeep:
    """What takes long. Every method is called in a thread of its own, and ends early when the owner ends."""

    def __init__(
        self,
        store: Store,
        executors: Mapping[str, Executor],
        attempts: Path,
        project_id: str,
        on_pruned: Callable[[], None] = lambda: None,
    ) -> None:
        """`attempts` is where the local executor keeps attempts; `on_pruned()` is called when activations are gone."""
        self._store = store
        self._attempts = attempts
        self._project_id = project_id
        self._closing = threading.Event()
        self._running = 0
        self._lock = threading.Lock()
        self._pruner = Pruner(store, executors, self._closing, on_pruned)
        self._backup: Backup | None = None

    @property
    def busy(self) -> bool:
        """Whether something is going on."""
        return self._running > 0 or (self._backup is not None and not self._backup.ended)

    def stop(self) -> None:
        """What is going on is to end; nothing is lost that was there before."""
        self._closing.set()

    def close(self) -> None:
        """Return when nothing goes on any more."""
        self.stop()
        if self._backup is not None:
            self._backup.join()

    def sizes(self) -> Sizes:
        """Measure the database, the attempts, and every activation."""
        with self._noted():
            return measure(self._store.path, self._attempts, self._closing.is_set)

    def check(self) -> Audit:
        """Look for what cannot be, and count every record."""
        with self._noted():
            return audit(self._store.path, self._closing.is_set)

    def choose(self, wanted: Criteria, project_id: str) -> list[Candidate]:
        """Return what `prune` would delete of a project, oldest first."""
        with self._noted():
            return choose(self.sizes(), self._store.path, project_id, wanted)

    def prune(self, activation_ids: list[str], project_id: str, *, dead_letters: bool, seconds: float) -> Pruned:
        """Delete activations of a project, for this many seconds."""
        with self._noted():
            return self._pruner.prune(activation_ids, project_id, dead_letters=dead_letters, seconds=seconds)

    def compact(self) -> str:
        """Give free pages back to the disk; return why not, or an empty text."""
        with self._noted():
            return self._pruner.compact()

    def retain(self, wanted: Criteria | None) -> int:
        """Finish what an earlier owner has begun to delete, and delete what is wanted; return how many activations."""
        with self._noted():
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
        """Begin a backup in a thread; raise AlreadyExists when one is under way, or its destination is there."""
        with self._lock:
            self._backup = Backup.start(self._backup, wanted, self._store, self._attempts, self._closing.is_set)
            return self._backup

    @property
    def backup(self) -> Backup | None:
        """The last backup of this owner."""
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

"""Deletes ended activations: chooses by age, size and number, and deletes in short transactions while the engine works."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from fabric_jobs.errors import PlaceUnavailable
from fabric_jobs.executors.base import Executor
from fabric_jobs.store import Store, activations, retention, tasks
from fabric_jobs.store.audit import snapshot
from fabric_jobs.upkeep.sizes import Sizes

BATCH = 50  # activations hidden in one transaction
WORTH_BYTES = 1 << 20  # with less free, compacting is not worthwhile


@dataclass(frozen=True, kw_only=True)
class Criteria:
    """Which activations to delete; without age and size, all but the newest `keep_last`."""

    older_than_seconds: float | None = None  # since they ended
    max_bytes: int | None = None  # delete the oldest until the state fits
    keep_last: int = 0  # the newest ended ones always stay
    dead_letters: bool = False  # include those with dead letters that nobody retried


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """An activation to delete."""

    activation_id: str
    name: str
    state: str
    ended_at: float
    size: int  # about


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """What one call has done."""

    seen: int  # activations dealt with: gone, or not deletable
    count: int  # of these: deleted or being deleted
    finished: bool  # no deletion is unfinished


def choose(
    sizes: Sizes, database: Path, project_id: str, wanted: Criteria, now: float | None = None
) -> list[Candidate]:
    """Return the activations to delete, oldest first."""
    with snapshot(database, lambda: False) as sql:
        ended = retention.prunable(sql, project_id, dead_letters=wanted.dead_letters)
        kept = retention.newest(sql, project_id, wanted.keep_last)
    of_activation = {share.activation_id: share.size for share in sizes.shares}
    choices = [
        Candidate(
            activation_id=item.activation_id,
            name=item.name,
            state=item.state.value,
            ended_at=item.ended_at,
            size=of_activation.get(item.activation_id, 0),
        )
        for item in ended
        if item.activation_id not in kept
    ]
    if wanted.older_than_seconds is None and wanted.max_bytes is None:
        return choices
    before = (time.time() if now is None else now) - (wanted.older_than_seconds or 0)
    used, found = sizes.used, []
    for choice in choices:
        is_old = wanted.older_than_seconds is not None and choice.ended_at <= before
        if not is_old and (wanted.max_bytes is None or used <= wanted.max_bytes):
            break  # the others are younger
        used -= choice.size
        found.append(choice)
    return found


class Pruner:
    """Deletes activations completely: their rows, and what executors keep of their attempts."""

    def __init__(
        self,
        store: Store,
        executors: Mapping[str, Executor],
        closing: threading.Event,
        on_pruned: Callable[[], None],
    ) -> None:
        """`on_pruned()` is called after activations are deleted, since their ids may be used again."""
        self._store = store
        self._executors = executors
        self._closing = closing
        self._on_pruned = on_pruned

    def prune(self, activation_ids: list[str], project_id: str, *, dead_letters: bool, seconds: float) -> Pruned:
        """Delete for about `seconds`, beginning with what an earlier call left unfinished."""
        deadline = time.monotonic() + seconds
        done = Pruned(seen=0, count=0, finished=self._finish(deadline))
        while done.finished and done.seen < len(activation_ids) and not self._is_over(deadline):
            batch = activation_ids[done.seen : done.seen + BATCH]
            count = self._hide(batch, project_id, dead_letters)
            done = replace(done, seen=done.seen + len(batch), count=done.count + count)
            done = replace(done, finished=self._finish(deadline))
        return done

    def compact(self) -> str:
        """Rewrite the database without its free pages, if nothing runs; return why that was not done, or an empty text."""
        with snapshot(self._store.path, self._closing.is_set) as sql:
            total, free = retention.page_bytes(sql)
            is_busy = bool(activations.unsettled(sql)) or tasks.live_count(sql) > 0
        if free < WORTH_BYTES:
            return "there is no free space in the database"
        if is_busy:
            return "activations are running, and would have to wait"
        if shutil.disk_usage(self._store.path.parent).free < 2 * (total - free):
            return "the disk has no room for the second copy of the database that this needs"
        try:
            self._store.compact().result()
        except PlaceUnavailable as error:
            return error.message
        return ""

    def _is_over(self, deadline: float) -> bool:
        return self._closing.is_set() or time.monotonic() >= deadline

    def _finish(self, deadline: float) -> bool:
        """Delete hidden activations: directories first, since the rows say where they are."""
        while hidden := self._hidden():
            for activation_id in hidden:
                self._remove_attempts(activation_id)
            while not self._delete_some(hidden):
                if self._is_over(deadline):
                    return False
            self._on_pruned()
        return True

    def _hide(self, activation_ids: list[str], project_id: str, dead_letters: bool) -> int:
        hiding = self._store.write(lambda tx: retention.hide(tx, activation_ids, project_id, dead_letters=dead_letters))
        return len(hiding.result())

    def _delete_some(self, activation_ids: list[str]) -> bool:
        return self._store.write(lambda tx: retention.delete_some(tx, activation_ids)).result()

    def _hidden(self) -> list[str]:
        return retention.hidden(self._store.read, BATCH)

    def _remove_attempts(self, activation_id: str) -> None:
        for place in retention.places(self._store.read, activation_id):
            executor = self._executors.get(place.executor)
            if executor is not None:
                executor.remove(place.handle or place.attempt_name)

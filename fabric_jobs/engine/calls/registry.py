"""The daemons that are called, or were."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from fabric_jobs.definitions import Action
from fabric_jobs.engine.calls.daemons import Daemon, DaemonFailed, fingerprint
from fabric_jobs.engine.launch import program_of
from fabric_jobs.engine.wants import DaemonKey, Want, Wants
from fabric_jobs.executors.base import Executor, ProcessSpec
from fabric_jobs.records import SavedDefinition
from fabric_jobs.settings import Settings
from fabric_jobs.store import Store


@dataclass(frozen=True, kw_only=True)
class Means:
    """What calls are made with."""

    store: Store
    executors: Mapping[str, Executor]
    settings: Settings
    wants: Wants


class Daemons:
    """The daemons of an owner, as callers reach them. All of it runs in the loop of the calls."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._known: dict[DaemonKey, Daemon] = {}

    def find(self, key: DaemonKey) -> Daemon | None:
        """Return the daemon of a key, if it has been made."""
        return self._known.get(key)

    def make(self, key: DaemonKey, action: Action, process: ProcessSpec) -> Daemon:
        """Return a new daemon; others of the same program end once they have no more calls."""
        for old in [
            other for other in self._known if other.program == key.program and not self._known[other].want.is_used
        ]:
            self._known.pop(old).close()
        want = self._means.wants.find(key.subject)
        if want is None or want.process is None:
            want = Want(key, action, process, 0)
        settings = self._means.settings
        daemon = Daemon(want, self._means.wants, self._means.executors[key.executor], settings.daemon_start_seconds)
        self._means.wants.put(want)
        self._known[key] = daemon
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
        daemon = self.find(key) or self.make(key, action, process)
        with suppress(DaemonFailed):  # its task shows it, and the next call tries again
            await daemon.pool(port)

    def close(self) -> None:
        """Close all connections."""
        for daemon in self._known.values():
            daemon.close()

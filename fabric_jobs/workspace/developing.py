"""One run of `skills dev`: invokes a skill with its message, and cancels it when its files change."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fabric_jobs.client import activations
from fabric_jobs.client.gateway import Gateway, segment
from fabric_jobs.errors import InvalidDefinition, NotFound, shown
from fabric_jobs.executors.masking import masked
from fabric_jobs.workspace import run as verbs
from fabric_jobs.workspace.payload import read_message
from fabric_jobs.workspace.testing.cases import INVOKE, MESSAGE
from fabric_jobs.workspace.tree import Workspace
from fabric_jobs.workspace.watching import LOOK_SECONDS, Watched

COMPARED_RECORDS = 10_000  # only this many records of a response are compared with the last one
LOG_BYTES = 1 << 16  # the end of a failed task's stderr


class Changed(Exception):
    """Files changed while the skill ran, so the run was cancelled."""

    def __init__(self, paths: list[str]) -> None:
        super().__init__(", ".join(paths))
        self.paths = paths


@dataclass(frozen=True, kw_only=True)
class Loop:
    """What to run again and again."""

    workspace: Workspace
    name: str
    entry: str | None  # the input; None for the only one
    message: Path | None  # instead of the input's own
    watched: Watched
    executor: str = ""  # where it runs; empty: the gateway's default

    def run(self, gateway: Gateway) -> dict[str, Any]:
        """Run the skill with its current files; return the record. Once cancelled, raise Changed or KeyboardInterrupt."""
        found = self.workspace.skill(self.name)
        entry = verbs.input_of(found, self.entry)
        path = self.message or found.directory / INVOKE / entry / MESSAGE
        if not path.is_file():
            raise NotFound(f"there is no {shown(path)}.", hint="Create it, or choose another file with --message.")
        params = read_message(path)
        target = verbs.save_skill(gateway, self.workspace, self.name, entry, executor=self.executor)
        activation_id = secrets.token_hex(12)  # known before the start, so that it can be cancelled at any time
        try:
            verbs.start(gateway, target, {**params, "activationId": activation_id}, self.workspace.root)
            return activations.follow(gateway, activation_id, self._watch)
        except (Changed, KeyboardInterrupt):
            with suppress(NotFound):  # it had not started yet
                activations.cancel(gateway, activation_id)
            raise
        finally:
            self.watched.absorb()

    def _watch(self, _nodes: object) -> float:
        self.watched.absorb()
        changed = self.watched.changed()
        if changed:
            raise Changed(changed)
        return LOOK_SECONDS


def directory_of(workspace: Workspace, name: str, entry: str | None) -> Path:
    """Return the directory of a skill, even if its skill.yaml is broken; raise NotFound for an unknown skill or input."""
    try:
        found = workspace.skill(name)
    except InvalidDefinition:
        last = name.rpartition("/")[2]
        return next(path.parent for path in workspace.skill_paths() if path.parent.name == last)
    verbs.input_of(found, entry)
    return found.directory


def stderr_of(gateway: Gateway, record: Mapping[str, Any]) -> str:
    """Return the end of the stderr of the task that failed an activation, starting at the beginning of a line."""
    task = (record.get("error") or {}).get("task")
    if not task:
        return ""
    kept, offset = b"", 0
    while part := gateway.raw("GET", f"/tasks/{segment(task)}/logs", stream="stderr", offset=offset).body:
        offset += len(part)
        kept = (kept + part)[-LOG_BYTES:]
    cut = kept if offset <= LOG_BYTES else kept.partition(b"\n")[2]
    return masked(cut.decode(errors="replace"))

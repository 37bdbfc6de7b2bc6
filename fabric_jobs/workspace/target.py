"""Chooses the definitions that an invocation runs: the workspace's, or a remote gateway's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fabric_jobs.client.gateway import Gateway
from fabric_jobs.workspace.run import EntryPoint, save_agent, save_skill, saved_there, snapshot_there
from fabric_jobs.workspace.tree import Workspace


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Where definitions come from."""

    gateway: Gateway
    workspace: Workspace | None  # None: there is none here
    executor: str = ""  # where they run; empty: the gateway's default
    save: bool = False  # also at a remote gateway, where else only a publish changes definitions
    warn: Callable[[str], None]  # takes a sentence for each local file that differs from what runs

    def snapshot(self, snapshot_id: str, entry: str | None) -> EntryPoint:
        """Return the service of a snapshot to invoke. Raise NotFound."""
        return snapshot_there(self.gateway, snapshot_id, entry, executor=self.executor)

    def target(self, kind: str, name: str, entry: str | None) -> EntryPoint:
        """Return what to invoke; an owner on this machine gets the current files. Raise NotFound."""
        if self.workspace is not None and (self.gateway.is_local or self.save):
            save = save_skill if kind == "skill" else save_agent
            return save(self.gateway, self.workspace, name, entry, executor=self.executor)
        is_here = self.workspace is not None and self.workspace.has(kind, name)
        hint = (
            "Publish it with `fabric-jobs workspaces publish`, or save only its definition with --save."
            if is_here
            else f"No workspace here has it either; publish the {kind} from its workspace."
        )
        target = saved_there(self.gateway, kind, name, entry, executor=self.executor, hint=hint)
        if self.workspace is not None and is_here:
            from fabric_jobs.workspace.publishing.elsewhere import (
                deviations,  # late: an owner on this machine never needs it
            )

            for sentence in deviations(self.gateway, self.workspace, kind, name):
                self.warn(sentence)
        return target

"""The parts of an owner that the routes use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from starlette.requests import Request

from fabric_jobs.blobs import Blobs
from fabric_jobs.clock import Awake
from fabric_jobs.engine import Engine
from fabric_jobs.engine.secrets import Secrets
from fabric_jobs.executors.base import Executor
from fabric_jobs.gateway.access import Access
from fabric_jobs.gateway.batch_lines import BatchLines
from fabric_jobs.gateway.followers import Followers
from fabric_jobs.gateway.live import Live
from fabric_jobs.gateway.reported import Reported
from fabric_jobs.gateway.traffic import Traffic
from fabric_jobs.settings import Settings
from fabric_jobs.store import Store
from fabric_jobs.upkeep import Upkeep

if TYPE_CHECKING:
    from fabric_jobs.engine.schedules import Clock
    from fabric_jobs.workspace.registering import Registration


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The parts of an owner that the routes use; made once, kept in the application's state."""

    store: Store
    engine: Engine
    live: Live
    settings: Settings
    executors: Mapping[str, Executor]
    upkeep: Upkeep
    blobs: Blobs  # the bytes of content
    access: Access
    key: bytes  # signs the tokens of tasks
    registration: Registration | None = None  # of the workspace that `serve` serves
    clock: Clock | None = None  # fires schedules; None: only `serve` does
    traffic: Traffic = field(default_factory=Traffic)
    lines: BatchLines = field(default_factory=BatchLines)  # of batches
    followers: Followers = field(default_factory=Followers)  # of logs
    reported: Reported = field(default_factory=Reported)  # metrics of the code of APIs
    awake: Awake = field(default_factory=Awake)

    @property
    def secrets(self) -> Secrets:
        """The secrets of all projects."""
        return self.engine.secrets


def parts_of(request: Request) -> Parts:
    """Return the parts of the application that a request came to."""
    parts: Parts = request.app.state.parts
    return parts

"""A schedule, as it is written and as it is stored, and its occurrences."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any

from fabric_jobs.names import DEFINED_NAME
from fabric_jobs.schedules.cron import Cron

Row = Mapping[str, Any]

OVERLAPS = ("skip", "queue", "parallel", "cancel")
CATCHUPS = ("latest", "none", "all")
DAY_SECONDS = 86_400.0
LONGEST_CATCHUP_SECONDS = 31 * DAY_SECONDS
LONGEST_JITTER_SECONDS = DAY_SECONDS
VERBS = frozenset({"next", "occurrences", "pause", "resume", "trigger", "backfill", "apply"})  # last parts of paths
LONGEST_SLUG = 100


@dataclass(frozen=True, kw_only=True)
class ScheduleDefinition:
    """What an author writes: what to invoke, and when (docs/reference/schedules-yaml.md)."""

    name: str
    cron: str = ""
    timezone: str = "UTC"
    agent: str = ""  # this or `skill`
    skill: str = ""
    service: str = ""  # of the agent; empty: its only one
    input: str = ""  # of the skill; empty: its only one
    payload: Any = None
    properties: dict[str, Any] = field(default_factory=dict)
    executor: str = ""  # empty: the gateway's default
    overlap: str = "skip"
    catchup: str = "latest"
    catchup_seconds: float = DAY_SECONDS
    jitter_seconds: float = 0.0

    @property
    def kind(self) -> str:
        """What it invokes: agent or skill."""
        return "agent" if self.agent else "skill"

    @property
    def target(self) -> str:
        """The name of what it invokes."""
        return self.agent or self.skill

    @property
    def entry(self) -> str:
        """The service or input that it invokes; empty: the only one."""
        return self.service if self.agent else self.input


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """A stored schedule, without its payload. Times are seconds since 1970."""

    schedule_id: int
    project_id: str
    name: str
    kind: str  # agent | skill
    target: str
    entry: str  # the service or the input
    cron: str
    timezone: str
    overlap: str  # one of OVERLAPS
    catchup: str  # one of CATCHUPS
    catchup_seconds: float
    jitter_seconds: float
    properties: dict[str, Any]
    executor: str  # empty: the gateway's default
    username: str  # who saved it
    session_id: str  # of its runs; empty: that of each run
    correlation_id: str
    paused: bool
    note: str  # why it is paused
    last_at: float  # no time at or before it runs again
    next_at: float | None  # None: never
    created_at: float
    updated_at: float

    @classmethod
    def from_row(cls, row: Row) -> Schedule:
        """Build it from a row of `schedules`."""
        values = _columns(row)
        values["properties"] = json.loads(values["properties"])
        values["paused"] = bool(values["paused"])
        return cls(**values)

    @property
    def times(self) -> Cron:
        """When it is due."""
        return Cron(self.cron, self.timezone)

    @property
    def delay(self) -> float:
        """By how many seconds its runs start late: a share of `jitter_seconds` that depends only on its name."""
        share = int.from_bytes(blake2b(self._key, digest_size=4).digest(), "big") / 2**32
        return float(int(share * self.jitter_seconds))

    @property
    def due_at(self) -> float | None:
        """When its next run starts; None while it is paused, and when no time is left."""
        return None if self.paused or self.next_at is None else self.next_at + self.delay

    def run_id(self, at: float) -> str:
        """Return the id of the activation for a time: the same whoever starts it, and whenever."""
        slug = re.sub(r"[^A-Za-z0-9_-]+", "-", self.name)[:LONGEST_SLUG]
        stamp = re.sub(r"[-:.]", "", iso(at))
        return f"{slug}-{stamp}-{blake2b(self._key, digest_size=4).hexdigest()}"

    @property
    def _key(self) -> bytes:
        return f"{self.project_id}\0{self.name.lower()}".encode()


@dataclass(frozen=True, kw_only=True, slots=True)
class Occurrence:
    """One time of a schedule, and what became of it."""

    schedule_id: int
    at: float  # the time it is for
    outcome: str  # started | skipped | missed | queued
    reason: str  # why it was not started; empty otherwise
    origin: str  # time | trigger | backfill
    activation_id: str | None  # of one that was started
    decided_at: float

    @classmethod
    def from_row(cls, row: Row) -> Occurrence:
        """Build it from a row of `occurrences`."""
        return cls(**_columns(row))


def _columns(row: Row) -> dict[str, Any]:
    return dict(zip(row.keys(), row, strict=True))  # a sqlite3.Row iterates over its values


def iso(at: float) -> str:
    """Return a moment as people and programs read it: 2026-01-31T02:00:00Z, with milliseconds if it has any."""
    moment = datetime.fromtimestamp(round(at, 3), UTC)
    return moment.isoformat(timespec="milliseconds" if moment.microsecond else "seconds").replace("+00:00", "Z")


def is_name(name: str) -> bool:
    """Tell whether a schedule may have this name: that of an agent is one, the last part of a route is not."""
    return DEFINED_NAME.fullmatch(name) is not None and name.rpartition("/")[2] not in VERBS

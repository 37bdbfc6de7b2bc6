"""Schedules: their definitions, how far they have got, and what became of each of their times."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fabric_jobs.errors import AlreadyExists
from fabric_jobs.schedules.cron import Cron
from fabric_jobs.schedules.schedule import Occurrence, Schedule
from fabric_jobs.store import events
from fabric_jobs.store.sql import Sql
from fabric_jobs.store.writer import Tx

KEPT = 10_000  # occurrences of a schedule: a week of minutes


@dataclass(frozen=True, kw_only=True)
class NewSchedule:
    """What a schedule says."""

    project_id: str
    name: str
    kind: str  # agent | skill
    target: str
    entry: str
    cron: str
    timezone: str
    overlap: str
    catchup: str
    catchup_seconds: float
    jitter_seconds: float
    payload: bytes
    properties: dict[str, Any]
    executor: str = ""
    username: str = "local"
    session_id: str = ""
    correlation_id: str = ""


def save(tx: Tx, new: NewSchedule, now: float) -> str:
    """Save a schedule; return `created`, `changed` or `unchanged`. No time up to now runs because of it.

    Raises AlreadyExists when another schedule has the same name in another case.
    """
    before = find(tx, new.project_id, new.name)
    if before is None:
        create(tx, new, next_at=_times(new).after(now), now=now)
        _event(tx, new.project_id, new.name, "created")
        return "created"
    if before.name != new.name:
        raise AlreadyExists(
            f"there is a schedule '{before.name}', and names must differ in more than case.",
            hint=f"Use that name, or delete it with `fabric-jobs schedules delete {before.name}`.",
        )
    if _is_same(tx, before, new):
        return "unchanged"
    values = {key: value for key, value in _columns(new).items() if key != "project_id"}
    next_at = _times(new).after(max(before.last_at, now))
    tx.run("change_schedule", schedule_id=before.schedule_id, next_at=next_at, now=now, **values)
    _event(tx, new.project_id, new.name, "changed")
    return "changed"


def apply(tx: Tx, project_id: str, wanted: Sequence[NewSchedule], now: float, *, prune: bool) -> dict[str, list[str]]:
    """Save schedules, and with `prune` delete the others of the project; return the names by what was done."""
    done: dict[str, list[str]] = {"created": [], "changed": [], "unchanged": [], "deleted": [], "others": []}
    for new in wanted:
        done[save(tx, new, now)].append(new.name)
    names = {new.name for new in wanted}
    for other in [one for one in listed(tx, project_id) if one.name not in names]:
        if prune:
            delete(tx, other)
        done["deleted" if prune else "others"].append(other.name)
    return done


def create(tx: Tx, new: NewSchedule, *, next_at: float | None, now: float) -> None:
    """Insert a schedule that begins now."""
    tx.run("insert_schedule", **_columns(new), next_at=next_at, now=now)


def _columns(new: NewSchedule) -> dict[str, Any]:
    return {**vars(new), "properties": json.dumps(new.properties)}


def _is_same(tx: Tx, before: Schedule, new: NewSchedule) -> bool:
    ignored = ("payload", "username")  # another user who saves the same changes nothing
    same = all(getattr(before, key) == value for key, value in vars(new).items() if key not in ignored)
    return same and payload(tx, before.schedule_id) == new.payload


def _times(new: NewSchedule) -> Cron:
    return Cron(new.cron, new.timezone)


def _event(tx: Tx, project_id: str, name: str, what: str, **body: Any) -> None:
    events.record(tx, f"schedule.{what}", project_id=project_id, activation_id=None, name=name, **body)


def find(sql: Sql, project_id: str, name: str) -> Schedule | None:
    """Return a schedule by its name, in any case; None if there is none."""
    row = sql.one("schedule", project_id=project_id, name=name)
    return None if row is None else Schedule.from_row(row)


def by_id(sql: Sql, schedule_id: int) -> Schedule | None:
    """Return a schedule by its number; None when it was deleted."""
    row = sql.one("schedule_by_id", schedule_id=schedule_id)
    return None if row is None else Schedule.from_row(row)


def payload(sql: Sql, schedule_id: int) -> bytes:
    """Return the payload of its runs, JSON text of up to 16 MiB; empty when it was deleted."""
    row = sql.one("schedule_payload", schedule_id=schedule_id)
    return b"" if row is None else bytes(row["payload"])


def listed(sql: Sql, project_id: str, *, kind: str | None = None, target: str | None = None) -> list[Schedule]:
    """Return the schedules of a project by name, or those of one agent or skill."""
    return [Schedule.from_row(row) for row in sql.all("schedules", project_id=project_id, kind=kind, target=target)]


def active(sql: Sql) -> list[Schedule]:
    """Return the schedules of all projects that are not paused."""
    return [Schedule.from_row(row) for row in sql.all("active_schedules")]


def move(tx: Tx, seen: Schedule, last_at: float, next_at: float | None) -> bool:
    """Move on to the next time; False when the schedule is no longer as it was seen."""
    return bool(
        tx.run(
            "move_schedule",
            schedule_id=seen.schedule_id,
            last_at=last_at,
            next_at=next_at,
            seen_next_at=seen.next_at,
            seen_updated_at=seen.updated_at,
        )
    )


def pause(tx: Tx, schedule: Schedule, note: str, now: float) -> None:
    """Stop a schedule from firing."""
    tx.run("pause_schedule", schedule_id=schedule.schedule_id, note=note, now=now)
    _event(tx, schedule.project_id, schedule.name, "paused", note=note)


def resume(tx: Tx, schedule: Schedule, now: float) -> None:
    """Let a schedule fire again; the times of its pause do not run."""
    next_at = schedule.times.after(max(schedule.last_at, now))
    tx.run("resume_schedule", schedule_id=schedule.schedule_id, next_at=next_at, now=now)
    _event(tx, schedule.project_id, schedule.name, "resumed")


def delete(tx: Tx, schedule: Schedule) -> bool:
    """Delete a schedule with its occurrences; False when it is gone already. Its runs stay."""
    if not tx.run("delete_schedule", schedule_id=schedule.schedule_id):
        return False
    _event(tx, schedule.project_id, schedule.name, "deleted")
    return True


def put_occurrence(tx: Tx, occurrence: Occurrence) -> bool:
    """Write what becomes of a time; False when it was started before."""
    names = Occurrence.__dataclass_fields__
    written = bool(tx.run("put_occurrence", **{name: getattr(occurrence, name) for name in names}))
    tx.run("forget_occurrences", schedule_id=occurrence.schedule_id, kept=KEPT)
    return written


def occurrence(sql: Sql, schedule_id: int, at: float) -> Occurrence | None:
    """Return what became of a time; None if nothing did yet."""
    row = sql.one("occurrence", schedule_id=schedule_id, at=at)
    return None if row is None else Occurrence.from_row(row)


def occurrences(sql: Sql, schedule_id: int, *, limit: int, skip: int = 0) -> list[Occurrence]:
    """Return what became of its times, the newest first."""
    rows = sql.all("occurrences", schedule_id=schedule_id, limit=limit, skip=skip)
    return [Occurrence.from_row(row) for row in rows]


def running(sql: Sql, schedule_id: int) -> tuple[str, ...]:
    """Return its activations that have not ended, the oldest first."""
    return tuple(row["activation_id"] for row in sql.all("running_occurrences", schedule_id=schedule_id))


def queued_at(sql: Sql, schedule_id: int) -> float | None:
    """Return the time that waits for the end of a run; None if none does."""
    row = sql.one("queued_occurrence", schedule_id=schedule_id)
    return None if row is None else float(row["at"])


def with_queued(sql: Sql) -> frozenset[int]:
    """Return the numbers of the schedules of which a time waits for the end of a run."""
    return frozenset(row["schedule_id"] for row in sql.all("schedules_with_queued"))


def of_activation(sql: Sql, activation_id: str, retry_of: str | None = None) -> tuple[str, float] | None:
    """Return the schedule and the time of a run, also of one that retries its dead letters; None for any other activation."""
    row = sql.one("occurrence_of_activation", activation_id=activation_id, retry_of=retry_of)
    return None if row is None else (row["name"], float(row["at"]))

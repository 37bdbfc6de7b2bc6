"""Dead letters: records that used up their attempts, kept with payload, error and attempts."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

from fabric_jobs.errors import InvalidInput
from fabric_jobs.records import DeadLetter
from fabric_jobs.store import channels, events
from fabric_jobs.store.sql import Sql
from fabric_jobs.store.writer import Tx

HIGHEST = 2**62  # no dead letter has such a number
TOGETHER_BYTES = 256 << 10  # bytes of records read at once


@dataclass(frozen=True, kw_only=True)
class NewDeadLetter:
    """The values of a new dead letter."""

    project_id: str
    activation_id: str
    channel_id: int
    record_offset: int
    task_id: int
    skill_name: str
    error: dict[str, Any]  # in the form of an activation's error
    on_error: str  # continue | complete
    attempts: int


def keep(tx: Tx, *letters: NewDeadLetter) -> None:
    """Keep unacknowledged records as dead letters, once each. Records of one channel are read together."""
    place, lines = (0, 0), list[bytes]()  # channel and offset of the first of `lines`
    for new in letters:
        if new.channel_id != place[0] or not 0 <= new.record_offset - place[1] < len(lines):
            segment = channels.read(
                tx, new.channel_id, new.record_offset, max_bytes=TOGETHER_BYTES if letters[1:] else 1
            )
            if segment is None or segment.first_offset != new.record_offset:
                raise InvalidInput(f"record {new.record_offset} does not exist or is finished.")
            place, lines = (new.channel_id, new.record_offset), segment.bytes.split(b"\n")[: segment.count]
        _keep(tx, new, lines[new.record_offset - place[1]])


def _keep(tx: Tx, new: NewDeadLetter, payload: bytes) -> None:
    values: dict[str, Any] = {**vars(new), "error": json.dumps(new.error), "payload": payload}
    if not tx.run("insert_dead_letter", dead_at=time.time(), **values):
        return
    events.record(
        tx,
        "record.dead",
        project_id=new.project_id,
        activation_id=new.activation_id,
        task_id=new.task_id,
        skill=new.skill_name,
        channel=new.channel_id,
        offset=new.record_offset,
        cause=new.error["reason"],
    )


def find(sql: Sql, project_id: str, dead_letter_id: int) -> DeadLetter | None:
    """Return a dead letter, or None."""
    row = sql.one("dead_letter", project_id=project_id, dead_letter_id=dead_letter_id)
    return None if row is None else DeadLetter.from_row(row)


def beginning(sql: Sql, project_id: str, begin: int, *, limit: int) -> list[DeadLetter]:
    """Return the dead letters of a project whose number begins with these digits, the lowest first."""
    found: list[DeadLetter] = []
    tens = 10
    while begin * tens < HIGHEST and len(found) < limit:
        bounds = {"begin": begin * tens, "beyond": (begin + 1) * tens, "limit": limit - len(found)}
        rows = sql.all("dead_letters_between", project_id=project_id, **bounds)
        found += [DeadLetter.from_row(row) for row in rows]
        tens *= 10
    return found


def payload(sql: Sql, dead_letter_id: int) -> bytes:
    """Return the record of a dead letter, as JSON text of up to 16 MiB; empty when there is no such letter."""
    row = sql.one("dead_letter_payload", dead_letter_id=dead_letter_id)
    return b"" if row is None else bytes(row["body"])


@dataclass(frozen=True, kw_only=True)
class LetterFilter:
    """Which dead letters to list; None takes all."""

    project_id: str
    activation_id: str | None = None
    skill_name: str | None = None
    retried: bool | None = None
    contains: str | None = None  # text to find in the error's reason
    limit: int = 100
    skip: int = 0
    after: int = 0  # the number of the last one of the page before

    @property
    def way(self) -> str:
        """The statement with the index that leaves the fewest rows to look through."""
        if self.activation_id is not None:
            return "dead_letters_of_activation"
        if self.skill_name is not None:
            return "dead_letters_of_skill"
        return {None: "dead_letters", False: "dead_letters_left", True: "dead_letters_retried"}[self.retried]


def listed(sql: Sql, wanted: LetterFilter) -> list[DeadLetter]:
    """Return the dead letters that match a filter, oldest first."""
    return [DeadLetter.from_row(row) for row in sql.all(wanted.way, **vars(wanted))]


def count(sql: Sql, wanted: LetterFilter) -> int:
    """Return how many dead letters match a filter, ignoring its page."""
    row = sql.one(f"{wanted.way}_count", **vars(wanted))
    return 0 if row is None else int(row["count"])


def counts(sql: Sql, activation_id: str) -> dict[str, int]:
    """Return how many records of an activation are dead, by `onError`."""
    return {row["on_error"]: row["count"] for row in sql.all("dead_letter_counts", activation_id=activation_id)}


def first(sql: Sql, activation_id: str, on_error: str) -> DeadLetter | None:
    """Return the oldest dead letter of an activation with this `onError`."""
    row = sql.one("first_dead_letter", activation_id=activation_id, on_error=on_error)
    return None if row is None else DeadLetter.from_row(row)


def offsets(sql: Sql, channel_id: int, offset: int) -> list[int]:
    """Return the offsets of a channel's dead records from `offset` on, in order."""
    return [row["record_offset"] for row in sql.all("dead_offsets", channel_id=channel_id, offset=offset)]


def edit(tx: Tx, letter: DeadLetter, payload: bytes) -> None:
    """Replace the payload for the next retry."""
    tx.run("edit_dead_letter", dead_letter_id=letter.dead_letter_id, payload=payload)
    _event(tx, letter, "record.edited")


def retried(tx: Tx, letter: DeadLetter, activation_id: str) -> bool:
    """Note that an activation retries the record; False when another one already does."""
    if not tx.run("retry_dead_letter", dead_letter_id=letter.dead_letter_id, retried_as=activation_id):
        return False
    _event(tx, letter, "record.retried", retriedAs=activation_id)
    return True


def drop(tx: Tx, letter: DeadLetter) -> bool:
    """Delete a dead letter for good; False when it is already gone."""
    if not tx.run("drop_dead_letter", dead_letter_id=letter.dead_letter_id):
        return False
    _event(tx, letter, "record.dropped")
    return True


def _event(tx: Tx, letter: DeadLetter, kind: str, **body: Any) -> None:
    events.record(
        tx,
        kind,
        project_id=letter.project_id,
        activation_id=letter.activation_id,
        task_id=letter.task_id,
        deadLetter=letter.dead_letter_id,
        **body,
    )
